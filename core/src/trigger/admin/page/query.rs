//! The names and values of a query or a form.

use super::problem::Problem;

/// The pairs of a query or a form.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    pub(super) fn parse(text: &str) -> Self {
        Self(form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// The first value of a name; an empty one is none, as a form sends what was not filled in.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let (_, value) = self.0.iter().find(|(key, _)| key == name)?;
        Some(value.as_str()).filter(|value| !value.is_empty())
    }

    /// A value that has to be of a type, if it is there.
    pub(super) fn typed<T: std::str::FromStr>(&self, name: &'static str) -> Result<Option<T>, Problem> {
        let Some(text) = self.get(name) else { return Ok(None) };
        text.parse().map(Some).map_err(|_| Problem::bad(name, text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_decoded_and_empty_values_are_none() {
        let query = Query::parse("state=failed&kind=&next=%2Fjobs%2F1%3Fa&state=queued&before=x&bad=%ff");
        assert_eq!((query.get("state"), query.get("kind")), (Some("failed"), None));
        assert_eq!(query.get("next"), Some("/jobs/1?a"));
        assert!(query.typed::<i64>("before").is_err());
        assert!(query.typed::<i64>("after").unwrap().is_none());
    }
}
