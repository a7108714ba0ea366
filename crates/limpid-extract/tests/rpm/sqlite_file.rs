//! Writes a SQLite file of 512-byte pages with one table of two levels: small enough to be damaged at will. (Real
//! ones are made by rpm.)

const PAGE: usize = 512;

pub(crate) fn write(blobs: &[Vec<u8>], schema: &str) -> Vec<u8> {
    let mut pages: Vec<Vec<u8>> = vec![vec![0; PAGE]; 2];
    let mut leaves = Vec::new();
    for (index, blob) in blobs.iter().enumerate() {
        let row = index as u64 + 1;
        let payload = [record_header(&[0, blob.len() as u64 * 2 + 12]), blob.clone()].concat();
        let cell = cell(row, &payload, &mut pages);
        let mut leaf = vec![0; PAGE];
        leaf_page(&mut leaf, 0, &[cell]);
        pages.push(leaf);
        leaves.push((u32::try_from(pages.len()).unwrap(), row));
    }
    inner_page(&mut pages[1], &leaves);
    let kind = if schema.starts_with("CREATE VIEW") { "view" } else { "table" };
    let texts = [kind, "Packages", "Packages"];
    let mut types: Vec<u64> = texts.iter().map(|text| text.len() as u64 * 2 + 13).collect();
    types.extend([1, schema.len() as u64 * 2 + 13]);
    let root = if kind == "view" { 0 } else { 2 };
    let payload =
        [&record_header(&types)[..], texts.concat().as_bytes(), &[root], schema.as_bytes()].concat();
    let row = cell(1, &payload, &mut pages);
    let first = &mut pages[0];
    first[..16].copy_from_slice(b"SQLite format 3\0");
    first[16..18].copy_from_slice(&(PAGE as u16).to_be_bytes());
    first[18..24].copy_from_slice(&[1, 1, 0, 64, 32, 32]);
    first[59] = 1;
    leaf_page(first, 100, &[row]);
    pages.concat()
}

fn varint(number: u64) -> Vec<u8> {
    let mut bytes = vec![(number & 0x7f) as u8];
    let mut rest = number >> 7;
    while rest > 0 {
        bytes.insert(0, (rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    bytes
}

fn record_header(types: &[u64]) -> Vec<u8> {
    let types: Vec<u8> = types.iter().flat_map(|kind| varint(*kind)).collect();
    [varint(types.len() as u64 + 1), types].concat()
}

/// A cell of a leaf; what has no place in it goes to new pages.
fn cell(row: u64, payload: &[u8], pages: &mut Vec<Vec<u8>>) -> Vec<u8> {
    let mut cell = [varint(payload.len() as u64), varint(row)].concat();
    let (most, least) = (PAGE - 35, (PAGE - 12) * 32 / 255 - 23);
    if payload.len() <= most {
        cell.extend_from_slice(payload);
        return cell;
    }
    let fitting = least + (payload.len() - least) % (PAGE - 4);
    let local = if fitting <= most { fitting } else { least };
    cell.extend_from_slice(&payload[..local]);
    cell.extend((pages.len() as u32 + 1).to_be_bytes());
    let parts: Vec<&[u8]> = payload[local..].chunks(PAGE - 4).collect();
    for (index, part) in parts.iter().enumerate() {
        let next = if index + 1 < parts.len() { pages.len() as u32 + 2 } else { 0 };
        let mut page = [&next.to_be_bytes()[..], part].concat();
        page.resize(PAGE, 0);
        pages.push(page);
    }
    cell
}

fn place_cells(page: &mut [u8], header: usize, cells: &[Vec<u8>], first_pointer: usize) {
    page[header + 3..header + 5].copy_from_slice(&(cells.len() as u16).to_be_bytes());
    let mut end = PAGE;
    for (index, cell) in cells.iter().enumerate() {
        end -= cell.len();
        page[end..end + cell.len()].copy_from_slice(cell);
        let pointer = first_pointer + 2 * index;
        page[pointer..pointer + 2].copy_from_slice(&(end as u16).to_be_bytes());
    }
    page[header + 5..header + 7].copy_from_slice(&(end as u16).to_be_bytes());
}

fn leaf_page(page: &mut [u8], header: usize, cells: &[Vec<u8>]) {
    page[header] = 13;
    place_cells(page, header, cells, header + 8);
}

fn inner_page(page: &mut [u8], children: &[(u32, u64)]) {
    page[0] = 5;
    let Some(((last, _), others)) = children.split_last() else { return };
    page[8..12].copy_from_slice(&last.to_be_bytes());
    let cells: Vec<Vec<u8>> =
        others.iter().map(|(child, row)| [&child.to_be_bytes()[..], &varint(*row)].concat()).collect();
    place_cells(page, 0, &cells, 12);
}
