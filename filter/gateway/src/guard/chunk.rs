//! One event of a stream, as JSON: which strings it has, which of these go on with a text that came before, and what has
//! come to its end with it.

use std::ops::Range;

use super::answer::is_unsaid;
use super::reading::{Meaning, is_no_text, meaning};
use crate::json::{Token, Walk};

/// What an event holds. Made once and filled anew with each event.
#[derive(Debug, Default)]
pub struct Chunk {
    /// The strings that say something, in order.
    pub leaves: Vec<Leaf>,
    /// Values of `logprobs`, which say a text again, token by token.
    pub logprobs: Vec<Range<usize>>,
    /// Members of the event itself that are no objects and no arrays: their names, between the quotes, and their JSON.
    pub root: Vec<(Range<usize>, Range<usize>)>,
    /// Its `type`.
    pub kind: String,
    /// Frames of choices that have a reason for being finished.
    finished: Vec<usize>,
    indexes: [Option<u64>; 3],
    steps: Vec<Step>,
    frames: Vec<Frame>,
    open: Vec<usize>,
}

/// A string that says something.
#[derive(Debug, Clone)]
pub struct Leaf {
    /// Where it stands, between the quotes.
    pub place: Range<usize>,
    /// What it is by its name.
    pub meaning: Meaning,
    /// Whether it goes on with a text of which parts have come before.
    pub grows: bool,
    steps: Range<usize>,
}

/// A step on the way from the event to a string.
#[derive(Debug, Clone)]
enum Step {
    /// The member of this name.
    Name(Range<usize>),
    /// The item of a list that is an object, by the number of its frame.
    Item(usize),
    /// The item at this place of a list.
    At(u64),
}

/// An object or array.
#[derive(Debug)]
struct Frame {
    object: bool,
    begin: usize,
    /// Its place in a list.
    position: u64,
    /// Its member `index`.
    index: Option<u64>,
    /// How many items have begun, in an array.
    items: u64,
    /// The name of the member that is being read, and what it means.
    name: Range<usize>,
    meaning: Meaning,
    /// Whether it is the value of `logprobs`, or is in one.
    likely: bool,
}

/// What tells one text of a stream from another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// The way to it.
    pub path: Vec<Part>,
    /// `output_index`, `content_index` and `summary_index` of the event.
    pub indexes: [Option<u64>; 3],
    /// The event's type without `.delta`; empty where events have no type.
    pub stem: String,
}

/// A part of a way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// The member of this name.
    Name(String),
    /// The item of this index.
    Index(u64),
}

/// Members by which an event of the Responses API says which text it goes on with.
const INDEXES: [&str; 3] = ["output_index", "content_index", "summary_index"];

impl Chunk {
    /// Reads an event. False where it is no JSON object, or nested too deeply.
    pub fn read(&mut self, json: &str) -> bool {
        self.leaves.clear();
        self.logprobs.clear();
        self.root.clear();
        self.kind.clear();
        self.finished.clear();
        self.indexes = [None; 3];
        self.steps.clear();
        self.frames.clear();
        self.open.clear();
        json.trim_start().starts_with('{')
            && serde_json::from_str::<serde::de::IgnoredAny>(json).is_ok()
            && self.walk(json).is_some()
    }

    fn walk(&mut self, json: &str) -> Option<()> {
        let mut walk = Walk::new(json);
        while let Some(token) = walk.next().ok()? {
            match token {
                Token::Object(at) => self.begin(json, true, at),
                Token::Array(at) => self.begin(json, false, at),
                Token::End(at) => self.end(at),
                Token::Name(range) => {
                    let (name, unsaid) = (walk.text(&range), walk.depth() == 1);
                    if let Some(frame) = self.frame() {
                        let unsaid = unsaid && is_unsaid(&name);
                        frame.meaning = if unsaid { Meaning::Unread } else { meaning(&name) };
                        frame.name = range;
                    }
                }
                Token::Text(range) => {
                    self.scalar(json, range.start.saturating_sub(1)..range.end + 1);
                    self.text(json, range);
                }
                Token::Number(range) => {
                    self.number(json, &range);
                    self.scalar(json, range);
                }
                Token::Word(range) => self.scalar(json, range),
            }
        }
        Some(())
    }

    fn frame(&mut self) -> Option<&mut Frame> {
        self.frames.get_mut(*self.open.last()?)
    }

    /// The name of the member that is being read.
    fn name<'j>(&self, json: &'j str) -> &'j str {
        let frame = self.open.last().and_then(|it| self.frames.get(*it)).filter(|it| it.object);
        frame.and_then(|it| json.get(it.name.clone())).unwrap_or_default()
    }

    fn begin(&mut self, json: &str, object: bool, begin: usize) {
        let named_likely = self.name(json) == "logprobs";
        let (mut position, mut meaning, mut likely) = (0, Meaning::Any, named_likely);
        if let Some(parent) = self.frame() {
            if !object {
                meaning = parent.meaning;
            }
            if !parent.object {
                position = parent.items;
                parent.items += 1;
            }
            likely |= parent.likely;
        }
        self.open.push(self.frames.len());
        self.frames.push(Frame {
            object,
            begin,
            position,
            index: None,
            items: 0,
            name: 0..0,
            meaning,
            likely,
        });
    }

    fn end(&mut self, at: usize) {
        let closed = self.open.pop().and_then(|it| self.frames.get(it));
        let (begin, likely) = closed.map_or((0, false), |it| (it.begin, it.likely));
        if likely && !self.frame().is_some_and(|it| it.likely) {
            self.logprobs.push(begin..at);
        }
    }

    /// A member of the event itself, if it is one.
    fn scalar(&mut self, json: &str, value: Range<usize>) {
        if let [root] = self.open.as_slice()
            && let Some(frame) = self.frames.get(*root)
        {
            let name = frame.name.clone();
            if json.get(name.clone()) == Some("type") {
                self.kind =
                    json.get(value.start + 1..value.end.saturating_sub(1)).unwrap_or_default().to_owned();
            }
            self.root.push((name, value));
        }
    }

    fn number(&mut self, json: &str, range: &Range<usize>) {
        let value = json.get(range.clone()).and_then(|it| it.parse().ok());
        let name = self.name(json);
        if let (Some(at), 1) = (INDEXES.iter().position(|it| *it == name), self.open.len()) {
            if let Some(index) = self.indexes.get_mut(at) {
                *index = value;
            }
        } else if name == "index"
            && let Some(frame) = self.frame()
        {
            frame.index = value;
        }
    }

    fn text(&mut self, json: &str, place: Range<usize>) {
        let name = self.name(json);
        if name == "finish_reason" {
            self.finished.extend(self.open.last());
            return;
        }
        let Some(frame) = self.open.last().and_then(|it| self.frames.get(*it)) else { return };
        let (meaning, likely) = (frame.meaning, frame.likely);
        let raw = json.get(place.clone()).unwrap_or_default();
        if raw.is_empty() || likely || is_no_text(meaning, raw) {
            return;
        }
        let from = self.steps.len();
        for (i, id) in self.open.iter().enumerate() {
            let Some(frame) = self.frames.get(*id) else { continue };
            self.steps.push(match self.open.get(i + 1) {
                _ if frame.object => Step::Name(frame.name.clone()),
                Some(item) => Step::Item(*item),
                None => Step::At(frame.items),
            });
        }
        let steps = from..self.steps.len();
        // Names of tools come whole.
        let grows = name != "name" && self.is_growing(json, steps.clone());
        self.leaves.push(Leaf { place, meaning, grows, steps });
    }

    /// `choices[].delta` and all that is in it, `choices[].text`, and the `delta` of events that have a type.
    fn is_growing(&self, json: &str, steps: Range<usize>) -> bool {
        let name = |step: Option<&Step>| match step {
            Some(Step::Name(range)) => json.get(range.clone()).unwrap_or_default(),
            Some(Step::Item(_) | Step::At(_)) | None => "",
        };
        let steps = self.steps.get(steps).unwrap_or_default();
        match name(steps.first()) {
            "choices" => match name(steps.get(2)) {
                "delta" => true,
                "text" => steps.len() == 3,
                _ => false,
            },
            "delta" => steps.len() == 1,
            _ => false,
        }
    }

    /// Whether a leaf goes on with the text of this key.
    pub fn is_of(&self, json: &str, leaf: &Leaf, key: &Key) -> bool {
        let steps = self.steps.get(leaf.steps.clone()).unwrap_or_default();
        let same = |(step, part): (&Step, &Part)| match (step, part) {
            (Step::Name(range), Part::Name(name)) => json.get(range.clone()) == Some(name),
            (Step::Item(_) | Step::At(_), Part::Index(index)) => self.index(step) == *index,
            (Step::Name(_), Part::Index(_)) | (Step::Item(_) | Step::At(_), Part::Name(_)) => false,
        };
        key.indexes == self.indexes
            && key.stem == self.stem()
            && steps.len() == key.path.len()
            && steps.iter().zip(&key.path).all(same)
    }

    /// What tells the text of a leaf from all others.
    pub fn key(&self, json: &str, leaf: &Leaf) -> Key {
        let steps = self.steps.get(leaf.steps.clone()).unwrap_or_default();
        let part = |step: &Step| match step {
            Step::Name(range) => Part::Name(json.get(range.clone()).unwrap_or_default().to_owned()),
            Step::Item(_) | Step::At(_) => Part::Index(self.index(step)),
        };
        Key { path: steps.iter().map(part).collect(), indexes: self.indexes, stem: self.stem().to_owned() }
    }

    fn index(&self, step: &Step) -> u64 {
        match step {
            Step::Item(id) => self.frames.get(*id).map_or(0, |it| it.index.unwrap_or(it.position)),
            Step::At(place) => *place,
            Step::Name(_) => 0,
        }
    }

    /// The type without its last word, `delta` or `done`.
    fn stem(&self) -> &str {
        self.kind.strip_suffix(".delta").or_else(|| self.kind.strip_suffix(".done")).unwrap_or(&self.kind)
    }

    /// Whether the text of this key is at its end with this event.
    pub fn ends(&self, key: &Key) -> bool {
        let choice = match key.path.as_slice() {
            [Part::Name(choices), Part::Index(index), ..] if choices == "choices" => Some(*index),
            _ => None,
        };
        if let Some(choice) = choice {
            return self.finished.iter().any(|frame| self.index(&Step::Item(*frame)) == choice);
        }
        match self.kind.as_str() {
            "" => false,
            "response.completed" | "response.failed" | "response.incomplete" | "error" => true,
            kind if kind.ends_with(".done") => self.covers(key),
            _ => false,
        }
    }

    /// Whether a text is the one that an event is about, or is in what it is about.
    fn covers(&self, key: &Key) -> bool {
        let [output, content, summary] = self.indexes;
        let [own_output, own_content, own_summary] = key.indexes;
        let within = |it: Option<u64>, own: Option<u64>| it.is_none() || it == own;
        let about =
            within(output, own_output) && within(content, own_content) && within(summary, own_summary);
        let whole = ["response.output_item", "response.content_part", "response.reasoning_summary_part"];
        about && (whole.contains(&self.stem()) || self.stem() == key.stem)
    }
}
