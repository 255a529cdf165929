//! What the listing of an environment is made of, in 32 bytes that cost less than the listing: two trees of one shape have one listing.

use crate::digest::{Blake3, Blake3Hasher};
use crate::tree::{Node, Tree};

/// Bytes that are hashed at once: enough for all lanes of the hash.
const PIECE: usize = 64 << 10;

/// BLAKE3 of a tree's entries: of each the length of its path, the path, and a byte that says what follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape(Blake3);

impl Shape {
    pub fn of(tree: &Tree) -> Shape {
        let mut hasher = Blake3Hasher::default();
        let mut piece = Vec::with_capacity(PIECE + (PIECE >> 2));
        for entry in tree.entries() {
            let path = entry.path.as_bytes();
            piece.extend_from_slice(&(path.len() as u32).to_le_bytes());
            piece.extend_from_slice(path);
            match &entry.node {
                Node::File { perm, content } => {
                    piece.push(b'f');
                    piece.extend_from_slice(&perm.to_le_bytes());
                    piece.extend_from_slice(&content.size.to_le_bytes());
                    piece.extend_from_slice(content.sha256.as_bytes());
                }
                Node::Link { target } => {
                    piece.push(b'l');
                    piece.extend_from_slice(&(target.len() as u32).to_le_bytes());
                    piece.extend_from_slice(target);
                }
                Node::Dir { perm } => {
                    piece.push(b'd');
                    piece.extend_from_slice(&perm.to_le_bytes());
                }
                Node::Closed { mode } => {
                    piece.push(b'c');
                    piece.extend_from_slice(&mode.to_le_bytes());
                }
            }
            if piece.len() >= PIECE {
                hasher.update(&piece);
                piece.clear();
            }
        }
        hasher.update(&piece);
        Shape(hasher.finish())
    }

    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}
