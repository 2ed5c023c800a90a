//! What one filter holds of one direction of a stream, and what goes on to the next when it lets go. The rules are
//! those of Envoy's filter manager; there is no guest in here and no I/O.

use std::cell::RefCell;

use crate::vm::Action;

/// A piece of a message between two filters; headers and trailers themselves are in the traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// The headers, and whether nothing follows.
    Headers(bool),
    /// A piece of the body, and whether nothing follows.
    Data(Vec<u8>, bool),
    /// The trailers; nothing follows.
    Trailers,
}

/// What a filter holds of a direction.
#[derive(Debug, Default)]
pub struct Gate {
    headers: Held,
    /// The headers had nothing after them.
    headers_only: bool,
    /// The filter keeps the body that it has seen; it is in its view.
    keeps_body: bool,
    /// Body that the filter has not seen yet, because it holds everything.
    unseen: Vec<u8>,
    ended: bool,
    trailers: bool,
}

/// How a filter holds the headers.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub enum Held {
    /// It has not seen them yet.
    #[default]
    NotSeen,
    /// It holds them, while the body still comes.
    Headers,
    /// It holds them, and nothing comes.
    Everything,
    /// They have gone on.
    Passed,
}

/// What follows from letting go.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Released {
    /// What the next filter gets.
    pub next: Vec<Item>,
    /// What this filter gets first: it held everything and has not seen it.
    pub here: Vec<Item>,
}

/// The body that a filter can see.
type Body = RefCell<Option<Vec<u8>>>;

impl Gate {
    /// The filter has been shown the headers. `stops` is how it holds them if it does.
    pub fn after_headers(&mut self, action: Action, stops: Held, end: bool) -> Option<Item> {
        self.ended = end;
        self.headers_only = end;
        match action {
            Action::Pause => {
                self.headers = stops;
                None
            }
            Action::Continue => {
                self.headers = Held::Passed;
                Some(Item::Headers(end))
            }
        }
    }

    /// A piece of the body comes to the filter: how much it can see of the body then, or nothing if it sees none yet.
    pub fn before_data(&mut self, bytes: Vec<u8>, end: bool, body: &Body) -> Option<usize> {
        self.ended = end;
        if self.headers == Held::Everything {
            self.unseen.extend(bytes);
            return None;
        }
        let mut seen = body.borrow_mut();
        match seen.as_mut().filter(|_| self.keeps_body) {
            Some(kept) => kept.extend(bytes),
            None => *seen = Some(bytes),
        }
        seen.as_ref().map(Vec::len)
    }

    /// The filter has been shown a piece of the body.
    pub fn after_data(&mut self, action: Action, end: bool, body: &Body) -> Vec<Item> {
        self.keeps_body = action == Action::Pause;
        match action {
            Action::Pause => Vec::new(),
            Action::Continue => self.let_go(end, body),
        }
    }

    /// Trailers come to the filter. False if it does not see them yet.
    pub fn before_trailers(&mut self) -> bool {
        self.ended = true;
        self.trailers = true;
        self.headers != Held::Everything
    }

    /// The filter has been shown the trailers.
    pub fn after_trailers(&mut self, action: Action, body: &Body) -> Vec<Item> {
        match action {
            Action::Pause => Vec::new(),
            Action::Continue => self.let_go_all(body),
        }
    }

    /// The filter wants to go on with what it holds.
    pub fn resume(&mut self, body: &Body) -> Released {
        match self.headers {
            Held::NotSeen => Released::default(),
            Held::Headers | Held::Passed => Released { next: self.let_go_all(body), here: Vec::new() },
            Held::Everything => {
                self.headers = Held::Passed;
                let unseen = std::mem::take(&mut self.unseen);
                let ends_with_data = self.ended && !self.headers_only && !self.trailers;
                let mut here = Vec::new();
                if !unseen.is_empty() || ends_with_data {
                    here.push(Item::Data(unseen, ends_with_data));
                }
                if self.trailers {
                    here.push(Item::Trailers);
                }
                Released { next: vec![Item::Headers(self.headers_only)], here }
            }
        }
    }

    /// How much of the body is held, in bytes.
    pub fn held(&self, body: &Body) -> usize {
        self.unseen.len() + body.borrow().as_ref().map_or(0, Vec::len)
    }

    /// Headers and body go on, in that order.
    fn let_go(&mut self, end: bool, body: &Body) -> Vec<Item> {
        let mut items = Vec::new();
        if self.headers == Held::Headers {
            items.push(Item::Headers(self.headers_only));
        }
        self.headers = Held::Passed;
        self.keeps_body = false;
        items.extend(body.borrow_mut().take().map(|body| Item::Data(body, end)));
        items
    }

    fn let_go_all(&mut self, body: &Body) -> Vec<Item> {
        let mut items = self.let_go(self.ended && !self.trailers, body);
        if std::mem::take(&mut self.trailers) {
            items.push(Item::Trailers);
        }
        items
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::{Gate, Held, Item, Released};
    use crate::vm::Action::{Continue, Pause};

    fn data(text: &str, end: bool) -> Item {
        Item::Data(text.into(), end)
    }

    #[test]
    fn what_is_not_held_goes_on_as_it_comes() {
        let (mut gate, body) = (Gate::default(), RefCell::default());
        assert_eq!(gate.after_headers(Continue, Held::Headers, false), Some(Item::Headers(false)));
        assert_eq!(gate.before_data("a".into(), false, &body), Some(1));
        assert_eq!(gate.after_data(Continue, false, &body), [data("a", false)]);
        assert_eq!(gate.before_data(vec![], true, &body), Some(0));
        assert_eq!(gate.after_data(Continue, true, &body), [data("", true)]);
        assert_eq!(gate.resume(&body), Released::default());
    }

    #[test]
    fn headers_wait_for_the_body_that_decides_about_them() {
        let (mut gate, body) = (Gate::default(), RefCell::default());
        assert_eq!(gate.after_headers(Pause, Held::Headers, false), None);
        assert_eq!(gate.before_data("ab".into(), false, &body), Some(2));
        assert_eq!(gate.after_data(Pause, false, &body), []);
        assert_eq!(gate.held(&body), 2);
        assert_eq!(gate.before_data("c".into(), true, &body), Some(3));
        assert_eq!(gate.after_data(Continue, true, &body), [Item::Headers(false), data("abc", true)]);
    }

    #[test]
    fn a_body_held_to_its_end_goes_on_with_its_end() {
        let (mut gate, body) = (Gate::default(), RefCell::default());
        gate.after_headers(Pause, Held::Headers, false);
        gate.before_data("a".into(), true, &body);
        gate.after_data(Pause, true, &body);
        assert_eq!(gate.resume(&body).next, [Item::Headers(false), data("a", true)]);
    }

    #[test]
    fn a_filter_that_stopped_everything_sees_the_body_when_it_goes_on() {
        let (mut gate, body) = (Gate::default(), RefCell::default());
        gate.after_headers(Pause, Held::Everything, false);
        assert_eq!(gate.before_data("a".into(), false, &body), None);
        assert_eq!(gate.before_data("b".into(), true, &body), None);
        let released = gate.resume(&body);
        assert_eq!(released, Released { next: vec![Item::Headers(false)], here: vec![data("ab", true)] });
    }

    #[test]
    fn trailers_end_what_no_data_has_ended() {
        let (mut gate, body) = (Gate::default(), RefCell::default());
        gate.after_headers(Pause, Held::Headers, false);
        gate.before_data("a".into(), false, &body);
        gate.after_data(Pause, false, &body);
        assert!(gate.before_trailers());
        assert_eq!(
            gate.after_trailers(Continue, &body),
            [Item::Headers(false), data("a", false), Item::Trailers]
        );
    }

    #[test]
    fn headers_without_a_body_go_on_as_the_end() {
        let (mut gate, body) = (Gate::default(), RefCell::default());
        gate.after_headers(Pause, Held::Everything, true);
        assert_eq!(gate.resume(&body), Released { next: vec![Item::Headers(true)], here: vec![] });
    }
}
