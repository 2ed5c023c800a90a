//! The headers of a message as the host hands them over: borrowed, in order, names in lower case.

/// Header names and values, pseudo-headers among them. Values may be any bytes.
#[derive(Debug, Default)]
pub struct Headers<'a> {
    pairs: Vec<(&'a str, &'a [u8])>,
}

impl<'a> Headers<'a> {
    /// Takes the pairs as they came.
    pub fn new(pairs: Vec<(&'a str, &'a [u8])>) -> Headers<'a> {
        Headers { pairs }
    }

    /// The first value of a name, if it is text.
    pub fn get(&self, name: &str) -> Option<&'a str> {
        let (_, value) = self.pairs.iter().find(|(n, _)| *n == name)?;
        std::str::from_utf8(value).ok()
    }

    /// All values of a name, whatever they are.
    pub fn all<'s>(&'s self, name: &'s str) -> impl Iterator<Item = &'a [u8]> + 's {
        self.pairs.iter().filter(move |(n, _)| *n == name).map(|(_, value)| *value)
    }

    /// Whether a name is there at all, with whatever value.
    pub fn has(&self, name: &str) -> bool {
        self.pairs.iter().any(|(n, _)| *n == name)
    }

    /// All names and values, in order.
    pub fn pairs(&self) -> impl Iterator<Item = (&'a str, &'a [u8])> + '_ {
        self.pairs.iter().copied()
    }

    /// All names, in order, repeated where they repeat.
    pub fn names(&self) -> impl Iterator<Item = &'a str> + '_ {
        self.pairs.iter().map(|(name, _)| *name)
    }

    /// The media type of the body, without parameters.
    pub fn media_type(&self) -> Option<&'a str> {
        let value = self.get("content-type")?;
        value.split(';').next().map(str::trim)
    }
}
