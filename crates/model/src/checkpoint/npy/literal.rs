//! The Python dictionary in a `.npy` header.

use super::HeaderError;

/// Parses `{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }`: each key once, in any
/// order, blanks anywhere. Returns the three values.
pub(super) fn parse(text: &[u8]) -> Result<(&str, bool, Vec<usize>), HeaderError> {
    let mut at = Cursor { text, offset: 0 };
    let (mut descr, mut fortran_order, mut shape) = (None, None, None);
    at.expect(b'{', "'{'")?;
    while !at.accept(b'}') {
        let start = at.offset;
        let key = at.string("a key")?;
        at.expect(b':', "':'")?;
        match key {
            "descr" if descr.is_none() => descr = Some(at.string("a type code")?),
            "fortran_order" if fortran_order.is_none() => fortran_order = Some(at.boolean()?),
            "shape" if shape.is_none() => shape = Some(at.tuple()?),
            _ => {
                let expected = "'descr', 'fortran_order' or 'shape', each once";
                return Err(HeaderError::Syntax { expected, offset: start });
            }
        }
        if !at.accept(b',') {
            at.expect(b'}', "',' or '}'")?;
            break;
        }
    }
    let end = at.offset;
    at.skip_blanks();
    if at.offset != text.len() {
        return Err(at.error("the end"));
    }
    let missing = |expected| HeaderError::Syntax { expected, offset: end };
    Ok((
        descr.ok_or_else(|| missing("a key 'descr'"))?,
        fortran_order.ok_or_else(|| missing("a key 'fortran_order'"))?,
        shape.ok_or_else(|| missing("a key 'shape'"))?,
    ))
}

struct Cursor<'a> {
    text: &'a [u8],
    offset: usize,
}

impl<'a> Cursor<'a> {
    fn error(&self, expected: &'static str) -> HeaderError {
        HeaderError::Syntax { expected, offset: self.offset }
    }

    fn rest(&self) -> &'a [u8] {
        &self.text[self.offset..]
    }

    fn skip_blanks(&mut self) {
        self.offset += self.rest().iter().take_while(|b| b.is_ascii_whitespace()).count();
    }

    fn accept(&mut self, byte: u8) -> bool {
        self.skip_blanks();
        let found = self.rest().first() == Some(&byte);
        self.offset += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), HeaderError> {
        if self.accept(byte) { Ok(()) } else { Err(self.error(expected)) }
    }

    fn string(&mut self, expected: &'static str) -> Result<&'a str, HeaderError> {
        self.skip_blanks();
        let (&quote, rest) = match self.rest().split_first() {
            Some((quote @ (b'\'' | b'"'), rest)) => (quote, rest),
            _ => return Err(self.error(expected)),
        };
        let text = rest
            .iter()
            .position(|&b| b == quote)
            .and_then(|length| std::str::from_utf8(&rest[..length]).ok())
            .ok_or_else(|| self.error(expected))?;
        self.offset += text.len() + 2;
        Ok(text)
    }

    fn boolean(&mut self) -> Result<bool, HeaderError> {
        self.skip_blanks();
        for (word, value) in [(&b"True"[..], true), (b"False", false)] {
            if self.rest().starts_with(word) {
                self.offset += word.len();
                return Ok(value);
            }
        }
        Err(self.error("True or False"))
    }

    fn tuple(&mut self) -> Result<Vec<usize>, HeaderError> {
        self.expect(b'(', "'('")?;
        let mut numbers = Vec::new();
        while !self.accept(b')') {
            numbers.push(self.number()?);
            if !self.accept(b',') {
                self.expect(b')', "',' or ')'")?;
                break;
            }
        }
        Ok(numbers)
    }

    /// A dimension. Python 2 wrote an `L` after some.
    fn number(&mut self) -> Result<usize, HeaderError> {
        self.skip_blanks();
        let digits = self.rest().iter().take_while(|b| b.is_ascii_digit()).count();
        let number = std::str::from_utf8(&self.rest()[..digits])
            .ok()
            .and_then(|text| text.parse().ok())
            .ok_or_else(|| self.error("a dimension"))?;
        self.offset += digits;
        self.offset += usize::from(self.rest().first() == Some(&b'L'));
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_numpy_writes() {
        let cases: [(&str, &str, bool, &[usize]); 6] = [
            (
                "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }\n",
                "<f4",
                false,
                &[3, 4],
            ),
            ("{'descr': '|V2', 'fortran_order': True, 'shape': (7,), }   \n", "|V2", true, &[7]),
            ("{'descr': '<f8', 'fortran_order': False, 'shape': (), }", "<f8", false, &[]),
            ("{'shape': (3L, 4L), 'fortran_order': False, 'descr': '>f2'}", ">f2", false, &[3, 4]),
            ("{\"descr\":\"<f4\",\"fortran_order\":False,\"shape\":(0,2)}", "<f4", false, &[0, 2]),
            (
                " { 'descr' : '<f4' , 'fortran_order' : True , 'shape' : ( 1 , ) } ",
                "<f4",
                true,
                &[1],
            ),
        ];
        for (text, descr, fortran_order, shape) in cases {
            let parsed = parse(text.as_bytes()).unwrap_or_else(|e| panic!("{text}: {e}"));
            assert_eq!(parsed, (descr, fortran_order, shape.to_vec()), "{text}");
        }
    }

    #[test]
    fn what_it_never_writes() {
        let cases = [
            ("", 0),
            ("{", 1),
            ("[]", 0),
            ("{}", 2),
            ("{'descr': '<f4'}", 16),
            ("{'descr': '<f4', 'descr': '<f4'}", 17),
            ("{'descr': '<f4', 'other': 1}", 17),
            ("{'descr': [('a', '<f4')]", 10),
            ("{'descr': '<f4", 10),
            ("{'descr': '<f4', 'fortran_order': 0", 34),
            ("{'shape': (3, -4)", 14),
            ("{'shape': (99999999999999999999999,)", 11),
            ("{'shape': (3 4)", 13),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)} x", 56),
        ];
        for (text, position) in cases {
            match parse(text.as_bytes()) {
                Err(HeaderError::Syntax { offset, .. }) => assert_eq!(offset, position, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
        for byte in 0..=255 {
            assert!(parse(&[b'{', b'\'', byte]).is_err());
        }
    }
}
