//! Building a segment: one walk over the tree of nodes, depth first.
//!
//! It costs what the nodes on the way to the images changed, however many images share them. A merge is nothing else: it
//! reads no postings of the segments that it replaces.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::segment::{Member, Run, Segment};
use crate::{Error, Result};

/// What a node does.
#[derive(Debug, Clone, Default)]
pub(crate) struct NodeChange {
    /// Occurrences that it brings, whether its parent holds them or not.
    pub(crate) brings: Vec<i64>,
    /// Occurrences that it takes away, but for those that it brings.
    pub(crate) takes: Vec<i64>,
}

/// The tree of nodes, as an engine reads it: always many at a time.
pub(crate) trait Tree {
    /// Tells each node with its parent, 0 for none.
    fn parents(&mut self, nodes: &[i64], tell: &mut dyn FnMut(i64, i64)) -> Result<()>;
    /// Tells each node with what it does.
    fn changes(&mut self, nodes: &[i64], tell: &mut dyn FnMut(i64, NodeChange)) -> Result<()>;
}

/// Nodes whose changes are held at a time.
const NODES_HELD_MAX: usize = 1000;

/// The segment of `members`, which are sorted for it; with postings of `only` these occurrences, if it is given.
pub(crate) fn build(
    members: &mut [Member],
    tree: &mut dyn Tree,
    only: Option<&HashSet<i64>>,
) -> Result<Segment> {
    members.sort_unstable_by_key(|member| (member.node, member.image));
    let mut ends: Vec<i64> = members.iter().map(|member| member.node).filter(|node| *node != 0).collect();
    ends.dedup();
    let order = preorder(ends, tree)?;
    let mut walk = Walk { only, ..Walk::default() };
    let mut numbered = Numbered::default();
    // Images without a node stand first, since 0 is less than any node.
    let without = members.partition_point(|member| member.node == 0);
    members[..without].iter().for_each(|member| numbered.add(member));
    for part in order.chunks(NODES_HELD_MAX) {
        let nodes: Vec<i64> = part.iter().map(|(node, _)| *node).collect();
        let mut changes = HashMap::with_capacity(nodes.len());
        tree.changes(&nodes, &mut |node, change| {
            changes.insert(node, change);
        })?;
        for (node, depth) in part {
            let change = changes.remove(node).ok_or_else(|| missing(*node))?;
            walk.enter(*depth, numbered.position(), &change);
            let from = members.partition_point(|member| member.node < *node);
            let own = members[from..].iter().take_while(|member| member.node == *node);
            own.for_each(|member| numbered.add(member));
        }
    }
    let postings = walk.finish(numbered.position());
    Ok(Segment { images: numbered.images, releases: numbered.releases.into_iter().collect(), postings })
}

fn missing(node: i64) -> Error {
    Error::Corrupt(format!("package set node {node} is missing"))
}

/// The nodes and all above them, each behind its parent and before whatever is not of its subtree, with their depths.
fn preorder(ends: Vec<i64>, tree: &mut dyn Tree) -> Result<Vec<(i64, usize)>> {
    let mut children: HashMap<i64, Vec<i64>> = HashMap::new();
    let mut known: HashSet<i64> = ends.iter().copied().collect();
    let mut wanted = ends;
    while !wanted.is_empty() {
        let mut above = Vec::new();
        let mut told = 0;
        tree.parents(&wanted, &mut |node, parent| {
            told += 1;
            children.entry(parent).or_default().push(node);
            if parent != 0 && known.insert(parent) {
                above.push(parent);
            }
        })?;
        if told != wanted.len() {
            return Err(Error::Corrupt("package set nodes are missing".to_owned()));
        }
        above.sort_unstable();
        wanted = above;
    }
    let mut order = Vec::with_capacity(known.len());
    let mut stack = vec![(0, 0)];
    while let Some((node, depth)) = stack.pop() {
        if node != 0 {
            order.push((node, depth));
        }
        let mut below = children.remove(&node).unwrap_or_default();
        below.sort_unstable_by(|a, b| b.cmp(a));
        stack.extend(below.into_iter().map(|child| (child, depth + 1)));
    }
    // In a circle nothing is reached from the top.
    match order.len() == known.len() {
        true => Ok(order),
        false => Err(Error::Corrupt("package set nodes follow each other in a circle".to_owned())),
    }
}

/// Images by position so far.
#[derive(Default)]
struct Numbered {
    images: Vec<i64>,
    releases: BTreeMap<String, Vec<Run>>,
}

impl Numbered {
    /// The next position. Segments are never so large that it would not fit.
    fn position(&self) -> u32 {
        u32::try_from(self.images.len()).unwrap_or(u32::MAX)
    }

    fn add(&mut self, member: &Member) {
        let position = self.position();
        self.images.push(member.image);
        let run = (position, position + 1);
        match self.releases.get_mut(&*member.release) {
            Some(runs) => add_run(runs, run),
            None => {
                self.releases.insert(member.release.to_string(), vec![run]);
            }
        }
    }
}

/// Adds a run behind all others.
pub(crate) fn add_run(runs: &mut Vec<Run>, run: Run) {
    match runs.last_mut() {
        _ if run.0 >= run.1 => {}
        Some(last) if last.1 == run.0 => last.1 = run.1,
        _ => runs.push(run),
    }
}

/// A walk down and up the tree.
#[derive(Default)]
struct Walk<'a> {
    only: Option<&'a HashSet<i64>>,
    postings: HashMap<i64, Posting>,
    /// The nodes above, with what each began to hold and what it stopped holding.
    path: Vec<(usize, Vec<i64>, Vec<i64>)>,
}

#[derive(Default)]
struct Posting {
    held_since: Option<u32>,
    runs: Vec<Run>,
}

impl Posting {
    fn end(&mut self, position: u32) -> bool {
        let since = self.held_since.take();
        if let Some(since) = since {
            add_run(&mut self.runs, (since, position));
        }
        since.is_some()
    }
}

impl Walk<'_> {
    fn enter(&mut self, depth: usize, position: u32, change: &NodeChange) {
        self.leave(depth, position);
        let is_wanted = |occurrence: &&i64| self.only.is_none_or(|only| only.contains(occurrence));
        let (mut began, mut ended) = (Vec::new(), Vec::new());
        let brings: Vec<i64> = change.brings.iter().filter(is_wanted).copied().collect();
        let takes: Vec<i64> = change.takes.iter().filter(is_wanted).copied().collect();
        for occurrence in takes {
            if self.postings.get_mut(&occurrence).is_some_and(|posting| posting.end(position)) {
                ended.push(occurrence);
            }
        }
        // Behind what is taken away: what a node does both with, it holds.
        for occurrence in brings {
            let posting = self.postings.entry(occurrence).or_default();
            if posting.held_since.is_none() {
                posting.held_since = Some(position);
                began.push(occurrence);
            }
        }
        self.path.push((depth, began, ended));
    }

    /// Undoes what nodes of a depth or deeper did.
    fn leave(&mut self, depth: usize, position: u32) {
        while self.path.last().is_some_and(|(last, ..)| *last >= depth) {
            let Some((_, began, ended)) = self.path.pop() else { return };
            for occurrence in began {
                if let Some(posting) = self.postings.get_mut(&occurrence) {
                    posting.end(position);
                }
            }
            for occurrence in ended {
                if let Some(posting) = self.postings.get_mut(&occurrence) {
                    posting.held_since = Some(position);
                }
            }
        }
    }

    fn finish(mut self, position: u32) -> Vec<(i64, Vec<Run>)> {
        self.leave(0, position);
        let held = self.postings.into_iter().filter(|(_, posting)| !posting.runs.is_empty());
        let mut postings: Vec<(i64, Vec<Run>)> =
            held.map(|(occurrence, posting)| (occurrence, posting.runs)).collect();
        postings.sort_unstable_by_key(|(occurrence, _)| *occurrence);
        postings
    }
}
