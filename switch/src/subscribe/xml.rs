//! XML as it is written here: text that cannot leave its place.

use std::fmt;

/// Text or the value of an attribute. What XML 1.0 cannot hold is left out.
pub(super) struct Text<'a>(pub(super) &'a str);

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|c| match c {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&apos;"),
            '\t' | '\n' | '\r' => f.write_str(" "),
            c if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') => Ok(()),
            c => fmt::Write::write_char(f, c),
        })
    }
}

/// How each document begins.
pub(super) const DECLARATION: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_stays_in_its_place() {
        assert_eq!(Text("<a href=\"x\">&'\u{0}\n\u{ffff}é").to_string(), "&lt;a href=&quot;x&quot;&gt;&amp;&apos; é");
    }
}
