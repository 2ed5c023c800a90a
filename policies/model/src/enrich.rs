//! What the gateway adds to requests, as checked: in the form in which it goes into a body.

/// What the gateway adds to a request before its provider gets it.
#[derive(Debug)]
pub struct Enrich {
    /// What comes before the client's prompt.
    pub prepend: Prompt,
    /// What comes after it.
    pub append: Prompt,
    /// Fields of the body.
    pub defaults: Vec<DefaultField>,
}

/// Messages that are added.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Prompt {
    /// JSON objects with `role` and `content`, separated by commas.
    pub messages: String,
    /// The same without those of [`instructions`](Prompt::instructions).
    pub others: String,
    /// The texts of those whose role is `system` or `developer`, separated by blank lines, as a JSON string without its
    /// quotes.
    pub instructions: String,
    /// All texts, separated by blank lines, as a JSON string without its quotes.
    pub text: String,
}

/// A field of the body.
#[derive(Debug)]
pub struct DefaultField {
    /// Its name.
    pub field: String,
    /// Its value, as JSON.
    pub json: String,
    /// Whether it stands in the place of the client's value.
    pub overrides: bool,
}
