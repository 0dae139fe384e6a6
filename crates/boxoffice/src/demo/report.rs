//! What the demo prints: a line a step with its time, or one JSON object a step.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::Surprise;
use crate::print::say;

/// Prints steps as they are done.
pub struct Report {
    json: bool,
    steps: u32,
    began: Instant,
    last: Instant,
}

impl Report {
    /// A report of text for people, or of JSON lines.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let now = Instant::now();
        Self { json, steps: 0, began: now, last: now }
    }

    /// Begins a group of steps.
    pub fn chapter(&mut self, title: &str) {
        if !self.json {
            say(&format!("\n{title}"));
        }
        self.last = Instant::now();
    }

    /// Says something that is no step.
    pub fn note(&mut self, text: &str) {
        if !self.json {
            say(text);
        }
        self.last = Instant::now();
    }

    /// A step that went as expected; its time is what passed since the one before.
    pub fn step(&mut self, text: &str) {
        let took = self.lap();
        self.steps += 1;
        if self.json {
            say(&json!({"step": self.steps, "ms": took, "text": text}).to_string());
        } else {
            say(&format!("  {took:>9.1} ms  {text}"));
        }
    }

    /// The end, if all went well.
    pub fn finish(&mut self) {
        let seconds = self.began.elapsed().as_secs_f64();
        if self.json {
            say(&json!({"done": true, "steps": self.steps, "seconds": seconds}).to_string());
        } else {
            say(&format!("\nall {} steps went as expected, in {seconds:.1} s", self.steps));
        }
    }

    /// The end, if an answer was not the expected one.
    pub fn surprise(&mut self, surprise: &Surprise) {
        if self.json {
            say(&json!({"done": false, "steps": self.steps, "surprise": surprise.0}).to_string());
        } else {
            say(&format!("  surprise after {} steps: {}", self.steps, surprise.0));
        }
    }

    fn lap(&mut self) -> f64 {
        let took: Duration = self.last.elapsed();
        self.last = Instant::now();
        took.as_secs_f64() * 1_000.0
    }
}
