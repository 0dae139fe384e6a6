//! One room: its members, its sequence, and its last messages.

use std::collections::{HashMap, VecDeque};

use kernel::Timestamp;

use super::{Limits, Member};
use crate::{domain::Seq, frame::Frame};

pub(super) struct State {
    pub(super) members: HashMap<u64, Member>,
    /// When somebody left last.
    pub(super) left_at: Timestamp,
    seq: Seq,
    /// The last messages, without a gap, up to `seq`.
    history: VecDeque<(Timestamp, Frame)>,
    bytes: usize,
}

impl State {
    pub(super) fn new(epoch: u64) -> Self {
        Self {
            members: HashMap::new(),
            left_at: Timestamp::EPOCH,
            seq: Seq { epoch, number: 0 },
            history: VecDeque::new(),
            bytes: 0,
        }
    }

    pub(super) const fn seq(&self) -> Seq {
        self.seq
    }

    /// Makes the next message and remembers it.
    pub(super) fn next(
        &mut self,
        now: Timestamp,
        write: impl Fn(Seq) -> Frame,
        limits: &Limits,
    ) -> Frame {
        self.seq.number += 1;
        let frame = write(self.seq);
        self.bytes += frame.len();
        self.history.push_back((now, frame.clone()));
        while self.history.len() > limits.frames || self.bytes > limits.bytes {
            self.forget_oldest();
        }
        frame
    }

    /// What came after `since`; `None` if that is not known any more, or never was.
    pub(super) fn missed(&self, since: Seq) -> Option<Vec<Frame>> {
        if since.epoch != self.seq.epoch {
            return None;
        }
        let missed = usize::try_from(self.seq.number.checked_sub(since.number)?).ok()?;
        let known = self.history.len().checked_sub(missed)?;
        Some(self.history.iter().skip(known).map(|(_, frame)| frame.clone()).collect())
    }

    pub(super) fn begin_anew(&mut self, epoch: u64) {
        self.seq = Seq { epoch, number: 0 };
        self.history.clear();
        self.bytes = 0;
    }

    pub(super) fn forget_before(&mut self, old: Timestamp) {
        while self.history.front().is_some_and(|(at, _)| *at < old) {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, frame)) = self.history.pop_front() {
            self.bytes -= frame.len();
        }
    }
}
