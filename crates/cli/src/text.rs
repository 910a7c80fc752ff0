//! Text for people.

use std::borrow::Cow;

/// The text on one line and without characters that a terminal acts on: blanks for line breaks and
/// tabulators, escapes for the rest.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(char::is_control) {
        return Cow::Borrowed(text);
    }
    let mut printable = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' | '\r' | '\t' => printable.push(' '),
            c if c.is_control() => printable.extend(c.escape_default()),
            c => printable.push(c),
        }
    }
    Cow::Owned(printable)
}

/// `1 image`, `2 images`.
pub(crate) fn count(n: usize, what: &str) -> String {
    format!("{n} {what}{}", if n == 1 { "" } else { "s" })
}

/// `59,880,472`.
pub(crate) fn grouped(n: u64) -> String {
    let digits = n.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three significant digits and a metric prefix: `59.9 M`.
pub(crate) fn metric(n: u64) -> String {
    let mut value = n as f64;
    for prefix in ["", " k", " M", " G", " T"] {
        if value < 999.5 {
            let decimals = match value {
                _ if prefix.is_empty() => 0,
                value if value < 9.995 => 2,
                value if value < 99.95 => 1,
                _ => 0,
            };
            return format!("{value:.decimals$}{prefix}");
        }
        value /= 1e3;
    }
    format!("{value:.0} P")
}

/// `320 x 80`; `scalar` without dimensions.
pub(crate) fn shape(shape: &[usize]) -> String {
    match shape {
        [] => "scalar".into(),
        _ => shape.iter().map(usize::to_string).collect::<Vec<_>>().join(" x "),
    }
}

/// A model's name, and its form if it has two: `repmlpnet_t224, train`.
pub(crate) fn model(name: &str, form: Option<&str>) -> String {
    form.map_or_else(|| name.to_owned(), |form| format!("{name}, {form}"))
}

/// A fraction as `91.76 %`.
pub(crate) fn percent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// Where a column's cells stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// The lines of a table, its columns as wide as they have to be.
pub(crate) fn table<const N: usize>(columns: [Align; N], rows: &[[String; N]]) -> Vec<String> {
    let rows: Vec<[_; N]> = rows.iter().map(|row| row.each_ref().map(|c| printable(c))).collect();
    let width = |c: usize| rows.iter().map(|row| row[c].chars().count()).max().unwrap_or(0);
    let widths: [usize; N] = std::array::from_fn(width);
    let line = |row: &[Cow<'_, str>; N]| {
        let cells = row.iter().zip(columns).zip(widths).map(|((cell, align), width)| match align {
            Align::Left => format!("{cell:<width$}"),
            Align::Right => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        let groups = [(0, "0"), (999, "999"), (1000, "1,000"), (59_880_472, "59,880,472")];
        assert!(groups.iter().all(|&(n, text)| grouped(n) == text));
        let prefixes = [
            (0, "0"),
            (999, "999"),
            (1000, "1.00 k"),
            (9_994, "9.99 k"),
            (9_996, "10.0 k"),
            (59_880_472, "59.9 M"),
            (999_499, "999 k"),
            (999_500, "1.00 M"),
            (12_630_000_000, "12.6 G"),
            (u64::MAX, "18447 P"),
        ];
        for (n, text) in prefixes {
            assert_eq!(metric(n), text);
        }
        assert_eq!((count(1, "image"), count(0, "image")), ("1 image".into(), "0 images".into()));
    }

    #[test]
    fn control_characters_are_not_printed() {
        assert!(matches!(printable("là-bas"), Cow::Borrowed("là-bas")));
        assert_eq!(printable("a\nb\x1b[2Jc\u{9b}"), "a b\\u{1b}[2Jc\\u{9b}");
    }

    #[test]
    fn columns_are_aligned() {
        let row = |a: &str, b: &str| [a.to_owned(), b.to_owned()];
        let rows = [row("NAME", "SIZE"), row("é", "7"), row("longer", "")];
        let lines = table([Align::Left, Align::Right], &rows);
        assert_eq!(lines, ["NAME    SIZE", "é          7", "longer"]);
    }
}
