"""Which changes an update must tell, by the list of edits that revise.py made and the documents that it edited.

revisions.py ONE TWO prints [kind, advisory, package, release, channel] of each, for Ubuntu's records and Red Hat's
documents. Package, release and channel are empty for what is said of an advisory as a whole.
"""
import json, os, re, sys, zipfile

one, two = sys.argv[1:]
told = set()


def ubuntu(edit, before, after):
    id, kind = edit['id'].replace('UBUNTU-', ''), edit['kind']
    record = json.loads((before if kind == 'withdrawn' else after).read(edit['id'] + '.json'))
    if kind == 'severity':
        # The record's own priority; packages have another only where theirs differs from it, before or after.
        told.add((kind, id, '', '', ''))
    if kind == 'fixed':
        # The record says when it was edited.
        told.add(('details', id, '', '', ''))
    for number, entry in enumerate(record['affected']):
        release = re.fullmatch(r'Ubuntu:(Pro:)?(\d\d\.\d\d)(:LTS)?', entry['package']['ecosystem'])
        pocket = re.search('distro=(esm-[a-z]+)/', entry['package']['purl'])
        channel = (pocket[1] if pocket else 'esm') if release[1] else ''
        row = (entry['package']['name'], 'ubuntu:' + release[2], channel)
        if kind in ('new', 'withdrawn') or kind == 'fixed' and edit['before'][number] != edit['after'][number]:
            told.add((kind, id, *row))
        elif kind == 'severity':
            own = entry['ecosystem_specific'].get('ubuntu_priority')
            old = json.loads(before.read(edit['id'] + '.json'))
            was = old['affected'][number]['ecosystem_specific'].get('ubuntu_priority')
            word = lambda record: [s['score'] for s in record['severity'] if s['type'] == 'Ubuntu'][0]
            differs = lambda priority, record: priority if priority not in (None, word(record)) else None
            if differs(own, record) != differs(was, old):
                told.add((kind, id, *row))


def products(branches, found):
    for branch in branches:
        if 'product' in branch:
            helper = branch['product'].get('product_identification_helper', {})
            found[branch['product']['product_id']] = helper
        products(branch.get('branches', []), found)
    return found


def redhat(edit):
    id, kind = edit['id'], edit['kind']
    folder = one if kind == 'withdrawn' else two
    document = json.load(open(os.path.join(folder, edit['file'])))
    tree, status = document['product_tree'], document['vulnerabilities'][0]['product_status']
    helpers = products(tree['branches'], {})
    parts = {
        relation['full_product_name']['product_id']: (relation['relates_to_product_reference'], relation['product_reference'])
        for relation in tree['relationships']
    }

    def rows(product):
        platform, component = parts.get(product, (product, product))
        # Older documents name source packages by their names alone.
        cpe, purl = helpers[platform].get('cpe', ''), helpers[component].get('purl', f'pkg:rpm/redhat/{component}?arch=src')
        release = re.search(r':enterprise_linux:(\d+)', cpe)
        name = re.match(r'pkg:rpm/redhat/([^@?]+)', purl)
        kind = 'source' if 'arch=src' in purl else 'binary'
        return {((name[1], 'rhel:' + release[1], ''), kind)} if name and release else set()

    if kind == 'severity':
        told.add((kind, id, '', '', ''))
    elif kind == 'fixed':
        told.add(('details', id, '', '', ''))
        before, after = rows(edit['before']['known_affected']), rows(edit['after']['fixed'])
        told.update((kind, id, *row) for row, _ in after)
        # A binary package that was open, where the fix speaks of the source package: nothing is said of it any more.
        told.update(('withdrawn', id, *row) for row, _ in before - after)
    else:
        told.update((kind, id, *row) for listed in status.values() for product in listed for row, _ in rows(product))


archive = '/storage.googleapis.com/osv-vulnerabilities/Ubuntu/all.zip'
with zipfile.ZipFile(one + archive) as before, zipfile.ZipFile(two + archive) as after:
    for edit in json.load(open(two + '/.changes.json'))['changes']:
        ubuntu(edit, before, after) if edit['feed'] == 'ubuntu-osv' else redhat(edit)
print(json.dumps(sorted(told)))
