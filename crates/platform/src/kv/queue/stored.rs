//! A place as it waits in memory: small, and found by its member.

use std::{
    borrow::Borrow,
    hash::{Hash, Hasher},
    sync::Arc,
};

use kernel::Timestamp;

/// A place as it waits: about 140 bytes, all in all, and what the member left with it.
pub(in crate::kv) struct Stored {
    pub(in crate::kv) number: u64,
    pub(in crate::kv) joined_at: Timestamp,
    member_bytes: u32,
    /// The member, and then the content.
    text: Box<str>,
}

/// A place that is found by its member.
pub(super) struct ByMember(pub(super) Arc<Stored>);

impl Stored {
    pub(in crate::kv) fn new(
        number: u64,
        joined_at: Timestamp,
        member: &str,
        content: &str,
    ) -> Self {
        let text = [member, content].concat().into_boxed_str();
        let member_bytes = u32::try_from(member.len()).unwrap_or(u32::MAX);
        Self { number, joined_at, member_bytes, text }
    }

    pub(in crate::kv) fn member(&self) -> &str {
        self.parts().0
    }

    pub(in crate::kv) fn content(&self) -> &str {
        self.parts().1
    }

    fn parts(&self) -> (&str, &str) {
        self.text.split_at_checked(self.member_bytes as usize).unwrap_or((&self.text, ""))
    }
}

impl Borrow<str> for ByMember {
    fn borrow(&self) -> &str {
        self.0.member()
    }
}

impl Hash for ByMember {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.member().hash(state);
    }
}

impl PartialEq for ByMember {
    fn eq(&self, other: &Self) -> bool {
        self.0.member() == other.0.member()
    }
}

impl Eq for ByMember {}
