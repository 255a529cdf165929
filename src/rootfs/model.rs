//! The tree in memory: names, links, and how one is found by the other.

use super::{Limits, MAX_LINKS, MAX_NAME, Why};
use std::collections::BTreeMap;

/// The root's place; it is its own parent.
pub(super) const ROOT: usize = 0;
/// Most parts on the way to one name. Links make ways longer than paths can be, at no cost to who makes them.
const MAX_STEPS: u32 = 1024;
/// Longest path that is left to walk once a link was put in.
const MAX_LEFT: usize = 2 * crate::path::MAX_PATH;

pub(super) struct Node {
    parent: usize,
    /// The last layer that had something here or below.
    layer: u32,
    /// Length of the path and its parts.
    length: usize,
    depth: usize,
    /// Length of its own name.
    name: usize,
    pub(super) kind: Kind,
}

pub(super) enum Kind {
    Dir {
        children: BTreeMap<Box<[u8]>, usize>,
        /// The layer in which all that earlier ones left here was taken away. Without it, as many whiteouts as there are files would cost
        /// the square of their number.
        swept: u32,
    },
    /// A content of the spool.
    File(usize),
    Link(Box<[u8]>),
}

impl Kind {
    pub(super) fn empty_dir() -> Kind {
        Kind::Dir { children: BTreeMap::new(), swept: 0 }
    }

    fn target(&self) -> usize {
        if let Kind::Link(target) = self { target.len() } else { 0 }
    }
}

/// How far a look-up has come.
#[derive(Default)]
pub(super) struct Way {
    links: u32,
    steps: u32,
}

/// Where it ended.
pub(super) enum Walk {
    At(usize),
    /// Nothing is there of that name, which `rest` begins with.
    Missing {
        parent: usize,
        rest: Vec<u8>,
    },
}

pub(super) struct Model {
    nodes: Vec<Node>,
    /// Places in `nodes` that can be used again.
    free: Vec<usize>,
    names: u64,
    pub(super) layer: u32,
    /// Contents of files that were taken away, once for each.
    pub(super) released: Vec<usize>,
}

impl Model {
    pub(super) fn new() -> Model {
        let root = Node { parent: ROOT, layer: 0, length: 0, depth: 0, name: 0, kind: Kind::empty_dir() };
        Model { nodes: vec![root], free: Vec::new(), names: 0, layer: 0, released: Vec::new() }
    }

    pub(super) fn node(&self, id: usize) -> &Node {
        &self.nodes[id]
    }

    pub(super) fn is_dir(&self, id: usize) -> bool {
        matches!(self.nodes[id].kind, Kind::Dir { .. })
    }

    pub(super) fn holds_something(&self, id: usize) -> bool {
        matches!(&self.nodes[id].kind, Kind::Dir { children, .. } if !children.is_empty())
    }

    /// Whether it is all of earlier layers.
    pub(super) fn is_lower(&self, id: usize) -> bool {
        self.nodes[id].layer < self.layer
    }

    pub(super) fn child(&self, parent: usize, name: &[u8]) -> Option<usize> {
        match &self.nodes[parent].kind {
            Kind::Dir { children, .. } => children.get(name).copied(),
            _ => None,
        }
    }

    /// Follows `path` from `at` as the kernel would in a chroot: links on the way and at its end too, and nothing is above the root.
    pub(super) fn walk(&self, at: usize, path: &[u8], way: &mut Way) -> Result<Walk, Why> {
        let mut at = at;
        let mut path = path.to_vec();
        let mut from = 0;
        loop {
            from += path[from..].iter().take_while(|byte| **byte == b'/').count();
            if from == path.len() {
                return Ok(Walk::At(at));
            }
            let end = path[from..].iter().position(|byte| *byte == b'/').map_or(path.len(), |n| from + n);
            way.steps += 1;
            if way.steps > MAX_STEPS {
                return Err(Why::TooManyLinks);
            }
            let Kind::Dir { children, .. } = &self.nodes[at].kind else { return Err(Why::NotADirectory) };
            match &path[from..end] {
                b"." => {}
                b".." => at = self.nodes[at].parent,
                name => {
                    let Some(&id) = children.get(name) else {
                        return Ok(Walk::Missing { parent: at, rest: path.split_off(from) });
                    };
                    if let Kind::Link(target) = &self.nodes[id].kind {
                        way.links += 1;
                        if way.links > MAX_LINKS || target.len() + path.len() - end > MAX_LEFT {
                            return Err(Why::TooManyLinks);
                        }
                        if target.starts_with(b"/") {
                            at = ROOT;
                        }
                        path = [target, &path[end..]].concat();
                        from = 0;
                        continue;
                    }
                    at = id;
                }
            }
            from = end;
        }
    }

    /// A new node, where none is of that name.
    pub(super) fn add(&mut self, parent: usize, name: &[u8], kind: Kind, limits: &Limits) -> Result<usize, Why> {
        let above = &self.nodes[parent];
        let (length, depth) = (above.length + usize::from(parent != ROOT) + name.len(), above.depth + 1);
        let names = self.names + (name.len() + kind.target()) as u64;
        if name.len() > MAX_NAME {
            return Err(Why::NameTooLong);
        } else if length > limits.path {
            return Err(Why::PathTooLong(limits.path));
        } else if depth > limits.depth {
            return Err(Why::TooDeep(limits.depth));
        } else if self.nodes.len() - self.free.len() > limits.entries {
            return Err(Why::TooMany(limits.entries));
        } else if names > limits.names {
            return Err(Why::Names(limits.names));
        }
        let node = Node { parent, layer: self.layer, length, depth, name: name.len(), kind };
        let id = self.free.last().copied().unwrap_or(self.nodes.len());
        let Kind::Dir { children, .. } = &mut self.nodes[parent].kind else { return Err(Why::NotADirectory) };
        children.insert(name.into(), id);
        if self.free.pop().is_some() {
            self.nodes[id] = node;
        } else {
            self.nodes.push(node);
        }
        self.names = names;
        self.touch(parent);
        Ok(id)
    }

    /// The layer at hand has something here. So it has above: where that is known already, it is known further up too.
    pub(super) fn touch(&mut self, id: usize) {
        let mut id = id;
        while self.nodes[id].layer != self.layer {
            self.nodes[id].layer = self.layer;
            id = self.nodes[id].parent;
        }
    }

    /// Takes away what is of that name in a directory, with all that is below it.
    pub(super) fn remove(&mut self, parent: usize, name: &[u8]) {
        if let Kind::Dir { children, .. } = &mut self.nodes[parent].kind
            && let Some(id) = children.remove(name)
        {
            self.drop_below(id);
        }
    }

    fn drop_below(&mut self, id: usize) {
        let mut gone = vec![id];
        while let Some(id) = gone.pop() {
            let node = &mut self.nodes[id];
            self.names -= (node.name + node.kind.target()) as u64;
            match std::mem::replace(&mut node.kind, Kind::Link(Box::default())) {
                Kind::Dir { children, .. } => gone.extend(children.into_values()),
                Kind::File(content) => self.released.push(content),
                Kind::Link(_) => {}
            }
            self.free.push(id);
        }
    }

    /// Takes away what is of earlier layers, of that name in a directory and below.
    pub(super) fn sweep(&mut self, parent: usize, name: &[u8]) {
        match self.child(parent, name) {
            Some(id) if self.is_lower(id) => self.remove(parent, name),
            Some(id) => self.sweep_below(id),
            None => {}
        }
    }

    /// The same of all that is in a directory.
    pub(super) fn sweep_below(&mut self, id: usize) {
        let mut left = vec![id];
        while let Some(id) = left.pop() {
            let layer = self.layer;
            let Kind::Dir { children, swept } = &mut self.nodes[id].kind else { continue };
            if *swept == layer {
                continue;
            }
            *swept = layer;
            let mut all = std::mem::take(children);
            let mut gone = Vec::new();
            all.retain(|_, child| {
                let keep = self.nodes[*child].layer == layer;
                if keep {
                    left.push(*child)
                } else {
                    gone.push(*child)
                }
                keep
            });
            if let Kind::Dir { children, .. } = &mut self.nodes[id].kind {
                *children = all;
            }
            gone.into_iter().for_each(|id| self.drop_below(id));
        }
    }

    /// The path of a node, for messages.
    pub(super) fn path(&self, id: usize) -> Vec<u8> {
        let mut parts: Vec<&[u8]> = Vec::new();
        let mut id = id;
        while id != ROOT {
            let parent = self.nodes[id].parent;
            if let Kind::Dir { children, .. } = &self.nodes[parent].kind {
                parts.extend(children.iter().find(|(_, child)| **child == id).map(|(name, _)| &**name));
            }
            id = parent;
        }
        parts.reverse();
        parts.join(&b'/')
    }
}
