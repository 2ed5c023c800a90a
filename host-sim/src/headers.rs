//! Headers of a message: in order, repeatable, names in lower case, pseudo-headers first.

use http::header::{HeaderName, HeaderValue};

/// Headers that belong to one hop (RFC 9110, section 7.6.1) and go no further.
const HOP_BY_HOP: [&str; 8] = [
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Header names and values.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HeaderMap {
    pairs: Vec<(String, Vec<u8>)>,
}

impl HeaderMap {
    /// The first value of a name.
    pub fn get(&self, name: &str) -> Option<&[u8]> {
        self.pairs.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_slice())
    }

    /// The first value of a name, if it is text.
    pub fn text(&self, name: &str) -> Option<&str> {
        std::str::from_utf8(self.get(name)?).ok()
    }

    /// Adds a value, beside others of the name.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        let pair = (name.to_ascii_lowercase(), value.to_vec());
        // Codecs want pseudo-headers before all others.
        let at = if name.starts_with(':') { self.pseudo() } else { self.pairs.len() };
        self.pairs.insert(at, pair);
    }

    /// Sets the only value of a name, in the place of the first one it had.
    pub fn set(&mut self, name: &str, value: &[u8]) {
        let at = self.pairs.iter().position(|(n, _)| n.eq_ignore_ascii_case(name));
        let Some(at) = at else { return self.add(name, value) };
        let mut index = 0;
        self.pairs.retain(|(n, _)| {
            index += 1;
            index - 1 <= at || !n.eq_ignore_ascii_case(name)
        });
        if let Some((_, old)) = self.pairs.get_mut(at) {
            *old = value.to_vec();
        }
    }

    /// Removes all values of a name.
    pub fn remove(&mut self, name: &str) {
        self.pairs.retain(|(n, _)| !n.eq_ignore_ascii_case(name));
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Names and values in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.pairs.iter().map(|(name, value)| (name.as_str(), value.as_slice()))
    }

    /// How many bytes names and values have together.
    pub fn bytes(&self) -> usize {
        self.pairs.iter().map(|(name, value)| name.len() + value.len()).sum()
    }

    /// The headers of an HTTP message without those of the hop, and with pseudo-headers in front.
    pub fn from_http(pseudo: &[(&str, &str)], headers: &http::HeaderMap) -> HeaderMap {
        let mut map: HeaderMap = pseudo.iter().copied().collect();
        for (name, value) in headers {
            if !HOP_BY_HOP.contains(&name.as_str()) && name != http::header::HOST {
                map.pairs.push((name.as_str().to_owned(), value.as_bytes().to_vec()));
            }
        }
        map
    }

    /// The headers for an HTTP message: no pseudo-headers, and nothing that HTTP cannot carry.
    pub fn to_http(&self) -> http::HeaderMap {
        let regular = self.pairs.iter().filter(|(name, _)| !name.starts_with(':'));
        let valid = regular.filter_map(|(name, value)| {
            Some((HeaderName::from_bytes(name.as_bytes()).ok()?, HeaderValue::from_bytes(value).ok()?))
        });
        let mut map = http::HeaderMap::new();
        for (name, value) in valid {
            map.append(name, value);
        }
        map
    }

    fn pseudo(&self) -> usize {
        self.pairs.iter().take_while(|(name, _)| name.starts_with(':')).count()
    }
}

impl<'a> FromIterator<(&'a str, &'a str)> for HeaderMap {
    fn from_iter<I: IntoIterator<Item = (&'a str, &'a str)>>(pairs: I) -> HeaderMap {
        let mut map = HeaderMap::default();
        for (name, value) in pairs {
            map.add(name, value.as_bytes());
        }
        map
    }
}

#[cfg(test)]
mod tests {
    use super::HeaderMap;

    fn show(map: &HeaderMap) -> Vec<(&str, &str)> {
        map.iter().map(|(name, value)| (name, std::str::from_utf8(value).unwrap())).collect()
    }

    #[test]
    fn a_value_that_is_set_is_the_only_one_and_keeps_its_place() {
        let mut map: HeaderMap = [("a", "1"), ("b", "2"), ("A", "3")].into_iter().collect();
        map.set("a", b"4");
        map.set("c", b"5");
        assert_eq!(show(&map), [("a", "4"), ("b", "2"), ("c", "5")]);
        map.remove("B");
        assert_eq!(show(&map), [("a", "4"), ("c", "5")]);
    }

    #[test]
    fn pseudo_headers_stay_in_front() {
        let mut map: HeaderMap = [("a", "1")].into_iter().collect();
        map.set(":path", b"/");
        assert_eq!(show(&map), [(":path", "/"), ("a", "1")]);
    }

    #[test]
    fn headers_of_the_hop_go_no_further() {
        let mut headers = http::HeaderMap::new();
        headers.insert("connection", "close".parse().unwrap());
        headers.insert("host", "h".parse().unwrap());
        headers.insert("x", "y".parse().unwrap());
        assert_eq!(show(&HeaderMap::from_http(&[(":path", "/")], &headers)), [(":path", "/"), ("x", "y")]);
    }
}
