//! A page to read the OpenAPI document with: one file, nothing fetched from elsewhere.

use http::HeaderValue;

/// Its media type.
pub(super) const TYPE: HeaderValue = HeaderValue::from_static("text/html; charset=utf-8");

/// The page; it renders `/openapi.json` in the browser.
pub(super) fn page() -> &'static str {
    include_str!("docs.html")
}
