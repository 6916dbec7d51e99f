//! What all charts have in common: an SVG that follows the reader's light or dark theme.

use std::fmt::Write as _;

/// Colours for strokes (`s0`..) and fills (`f0`..). No CSS variables: simple viewers don't know
/// them.
const STYLE: &str = "\
text{font:12px system-ui,sans-serif;fill:#57606a}.title{font-size:17px;font-weight:600;fill:#1f2328}\
.grid{stroke:#d0d7de;stroke-width:1}.paper{fill:#fff}.point{font-size:11px}\
.line{fill:none;stroke-width:2.2;stroke-linejoin:round}.bar{stroke-width:1.4;opacity:.55}\
.name{font-weight:600}.on{fill:#fff}.off{fill:#1f2328}.frame{fill:none;stroke:#d0d7de}\
.s0{stroke:#1a7f37}.f0{fill:#1a7f37}.s1{stroke:#0969da}.f1{fill:#0969da}.s2{stroke:#bf5700}.f2{fill:#bf5700}.s3{stroke:#cf222e}.f3{fill:#cf222e}\
@media(prefers-color-scheme:dark){text{fill:#9198a1}.title,.off{fill:#f0f6fc}.grid,.frame{stroke:#30363d}\
.paper{fill:#0d1117}.s0{stroke:#3fb950}.f0{fill:#3fb950}.s1{stroke:#4493f8}.f1{fill:#4493f8}.s2{stroke:#f0883e}.f2{fill:#f0883e}.s3{stroke:#f85149}.f3{fill:#f85149}}";

/// The beginning of a picture of this size, with its paper. It ends with `</svg>`.
pub(crate) fn begin(width: f64, height: f64) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
         width=\"{width}\" height=\"{height}\" role=\"img\"><style>{STYLE}</style>\
         <rect class=\"paper\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>"
    )
}

/// The heading of a picture: what it shows, and how to read it.
pub(crate) fn heading(svg: &mut String, title: &str, below: &str) {
    let _ = write!(
        svg,
        "<text class=\"title\" x=\"24\" y=\"34\">{}</text><text x=\"24\" y=\"54\">{}</text>",
        escape(title),
        escape(below)
    );
}

/// 1, 2 or 5 times a power of ten, at least as large.
pub(crate) fn round_step(step: f64) -> f64 {
    let power = 10f64.powf(step.log10().floor());
    let factors = [1.0, 2.0, 5.0, 10.0];
    factors.map(|factor| factor * power).into_iter().find(|round| *round >= step).unwrap_or(step)
}

/// Text without markup.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_round_numbers() {
        assert_eq!(round_step(1234.0), 2000.0);
        assert_eq!(round_step(0.03), 0.05);
        assert_eq!(round_step(100.0), 100.0);
    }

    #[test]
    fn markup_in_names_is_text() {
        assert_eq!(escape("<a&b>"), "&lt;a&amp;b&gt;");
    }
}
