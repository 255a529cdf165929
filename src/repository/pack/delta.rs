//! Objects that a pack has as the difference from another one.

use super::{Base, Entry, Work, inflate};
use gix::ObjectId;
use std::collections::{HashMap, VecDeque};
use std::fs::File;
use std::rc::Rc;

/// Longest chain of deltas; git makes none of more than 4095.
pub(super) const MAX_DEPTH: u16 = 4096;
/// Resolved objects that are held for those that are made from them. What is not there any more is made again, which is counted.
const MAX_HELD: usize = 256 << 20;

/// Gives every delta whose base is in the pack its kind and id. What is left has none.
pub(super) fn resolve(
    file: &File,
    entries: &mut [Entry],
    hash: gix::hash::Kind,
    work: &mut Work,
) -> Result<(), String> {
    let (mut by_offset, mut by_id) = (Vec::new(), Vec::new());
    for (at, entry) in entries.iter().enumerate() {
        match entry.base {
            Base::None => {}
            Base::At(offset) => by_offset.push((offset, at as u32)),
            Base::Id(id) => by_id.push((id, at as u32)),
        }
    }
    by_offset.sort_unstable();
    by_id.sort_unstable();
    let mut resolver = Resolver { file, entries, hash, held: Held::default(), by_offset, by_id };
    let mut waiting = Vec::new();
    for at in 0..resolver.entries.len() as u32 {
        if matches!(resolver.entries[at as usize].base, Base::None) {
            resolver.made_from(at, &mut waiting)?;
        }
        // The last one's base is held still, most of the time.
        while let Some(at) = waiting.pop() {
            let bytes = resolver.bytes(at, work)?;
            let above = resolver.entries[at as usize].above;
            let below = resolver.entries[above as usize].cost;
            let entry = &mut resolver.entries[at as usize];
            entry.cost = below.saturating_add(entry.size).saturating_add(bytes.len() as u64);
            work.take_chain(entry.cost)?;
            let id = gix::objs::compute_hash(hash, entry.kind, &bytes).map_err(|err| err.to_string())?;
            entry.id = Some(id);
            resolver.made_from(at, &mut waiting)?;
        }
    }
    Ok(())
}

struct Resolver<'a> {
    file: &'a File,
    entries: &'a mut [Entry],
    hash: gix::hash::Kind,
    held: Held,
    /// Deltas by where their base is, and by its id, sorted.
    by_offset: Vec<(u64, u32)>,
    by_id: Vec<(ObjectId, u32)>,
}

impl Resolver<'_> {
    /// Adds the deltas whose base is `at`, which has its id.
    fn made_from(&mut self, at: u32, waiting: &mut Vec<u32>) -> Result<(), String> {
        let Entry { offset, depth, kind, id, .. } = self.entries[at as usize];
        let from = self.by_offset.partition_point(|(base, _)| *base < offset);
        let of_offset = self.by_offset[from..].iter().take_while(|(base, _)| *base == offset).map(|(_, at)| *at);
        let (first, id) = match id {
            Some(id) => (self.by_id.partition_point(|(base, _)| *base < id), id),
            None => return Ok(()),
        };
        let of_id = self.by_id[first..].iter().take_while(|(base, _)| *base == id).map(|(_, at)| *at);
        for below in of_offset.chain(of_id) {
            let entry = &mut self.entries[below as usize];
            // An object that is there twice is the base of each delta once.
            if entry.depth > 0 {
                continue;
            }
            if depth == MAX_DEPTH {
                return Err(format!("its deltas are chained more than {MAX_DEPTH} deep"));
            }
            (entry.above, entry.depth, entry.kind) = (at, depth + 1, kind);
            waiting.push(below);
        }
        Ok(())
    }

    /// The object at a place, whose chain is known.
    fn bytes(&mut self, at: u32, work: &mut Work) -> Result<Rc<Vec<u8>>, String> {
        let (mut chain, mut top) = (Vec::new(), at);
        let mut bytes = loop {
            if let Some(bytes) = self.held.get(top) {
                break bytes;
            }
            let entry = &self.entries[top as usize];
            if entry.depth == 0 {
                let bytes = Rc::new(inflate(self.file, entry, self.hash, work)?);
                self.held.put(top, &bytes);
                break bytes;
            }
            chain.push(top);
            top = entry.above;
        };
        for at in chain.into_iter().rev() {
            let delta = inflate(self.file, &self.entries[at as usize], self.hash, work)?;
            bytes = Rc::new(apply(&bytes, &delta, work)?);
            self.held.put(at, &bytes);
        }
        Ok(bytes)
    }
}

/// The objects that were made last.
#[derive(Default)]
struct Held {
    objects: HashMap<u32, Rc<Vec<u8>>>,
    order: VecDeque<u32>,
    bytes: usize,
}

impl Held {
    fn get(&self, at: u32) -> Option<Rc<Vec<u8>>> {
        self.objects.get(&at).cloned()
    }

    fn put(&mut self, at: u32, bytes: &Rc<Vec<u8>>) {
        if bytes.len() > MAX_HELD || self.objects.contains_key(&at) {
            return;
        }
        self.objects.insert(at, bytes.clone());
        self.order.push_back(at);
        self.bytes += bytes.len();
        while self.bytes > MAX_HELD {
            let Some(oldest) = self.order.pop_front() else { break };
            self.bytes -= self.objects.remove(&oldest).map_or(0, |bytes| bytes.len());
        }
    }
}

const DAMAGED: &str = "one of its deltas is damaged";

/// A number as deltas have it at their beginning.
fn length(delta: &mut &[u8]) -> Result<u64, String> {
    let (mut value, mut shift) = (0u64, 0);
    loop {
        let (first, rest) = delta.split_first().ok_or(DAMAGED)?;
        *delta = rest;
        if shift > 56 {
            return Err(DAMAGED.to_owned());
        }
        value |= u64::from(first & 0x7f) << shift;
        shift += 7;
        if first & 0x80 == 0 {
            return Ok(value);
        }
    }
}

/// What a delta makes of its base.
fn apply(base: &[u8], mut delta: &[u8], work: &mut Work) -> Result<Vec<u8>, String> {
    if length(&mut delta)? != base.len() as u64 {
        return Err(DAMAGED.to_owned());
    }
    let size = length(&mut delta)?;
    work.take(size)?;
    // Memory is taken for what is there, not for what is promised.
    let mut made = Vec::new();
    while let Some((first, rest)) = delta.split_first() {
        delta = rest;
        let part = match first {
            0 => return Err(DAMAGED.to_owned()),
            first if first & 0x80 != 0 => {
                let mut numbers = [0u8; 7];
                for (bit, number) in numbers.iter_mut().enumerate() {
                    if first & (1 << bit) != 0 {
                        let (byte, rest) = delta.split_first().ok_or(DAMAGED)?;
                        (*number, delta) = (*byte, rest);
                    }
                }
                let from = u32::from_le_bytes([numbers[0], numbers[1], numbers[2], numbers[3]]) as usize;
                let n = match u32::from_le_bytes([numbers[4], numbers[5], numbers[6], 0]) as usize {
                    0 => 0x10000,
                    n => n,
                };
                base.get(from..).and_then(|base| base.get(..n)).ok_or(DAMAGED)?
            }
            first => {
                let (part, rest) = delta.split_at_checked(usize::from(*first)).ok_or(DAMAGED)?;
                delta = rest;
                part
            }
        };
        if made.len() as u64 + part.len() as u64 > size {
            return Err(DAMAGED.to_owned());
        }
        made.extend_from_slice(part);
    }
    if made.len() as u64 != size {
        return Err(DAMAGED.to_owned());
    }
    Ok(made)
}
