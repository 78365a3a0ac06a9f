//! What a key means, as a pure state machine.
//!
//! Single keys act at once; two of them ask for a name first and collect it, shown in the prompt line.

/// What the user wants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// Show or hide the log stream.
    ToggleLogs,
    /// Show only what this service or instance prints; everything when `None`.
    Filter(Option<String>),
    /// Show the status table.
    Status,
    /// Restart a service or an instance.
    Restart(String),
    /// Show the dashboard's address.
    Dashboard,
    /// Show what the keys do.
    Help,
    /// Stop everything and leave.
    Quit,
    /// Only the prompt changed.
    Redraw,
}

/// Most characters a prompt takes: a service name and an instance number fit.
const INPUT_LEN_MAX: usize = 80;

/// Where in a dialogue the user is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) enum Keys {
    /// Each key is a command.
    #[default]
    Idle,
    /// Asked which service to restart; what was typed so far.
    Restart(String),
    /// Asked whose logs to show; what was typed so far.
    Filter(String),
}

/// What the keys do.
pub(crate) const HELP: &str = "  l logs on/off   f logs of one service   s status   r restart   d dashboard   ? help   \
                               q quit (stops everything)";

/// The short form beside the summary.
pub(crate) const HINT: &str =
    "keys: l logs  f filter  s status  r restart  d dashboard  ? help  q quit";

impl Keys {
    /// Takes one key; `None` when it means nothing here.
    pub(crate) fn press(&mut self, key: char) -> Option<Wish> {
        match std::mem::take(self) {
            Self::Idle => self.command(key),
            Self::Restart(input) => match edit(input, key) {
                Edited::Going(input) => {
                    *self = Self::Restart(input);
                    Some(Wish::Redraw)
                }
                Edited::Done(input) if input.is_empty() => Some(Wish::Redraw),
                Edited::Done(input) => Some(Wish::Restart(input)),
                Edited::Dropped => Some(Wish::Redraw),
            },
            Self::Filter(input) => match edit(input, key) {
                Edited::Going(input) => {
                    *self = Self::Filter(input);
                    Some(Wish::Redraw)
                }
                Edited::Done(input) => Some(Wish::Filter((!input.is_empty()).then_some(input))),
                Edited::Dropped => Some(Wish::Redraw),
            },
        }
    }

    fn command(&mut self, key: char) -> Option<Wish> {
        match key {
            'l' => Some(Wish::ToggleLogs),
            's' => Some(Wish::Status),
            'd' => Some(Wish::Dashboard),
            '?' | 'h' => Some(Wish::Help),
            'q' => Some(Wish::Quit),
            'f' => {
                *self = Self::Filter(String::new());
                Some(Wish::Redraw)
            }
            'r' => {
                *self = Self::Restart(String::new());
                Some(Wish::Redraw)
            }
            _ => None,
        }
    }

    /// The question that stands open, with what was typed so far.
    pub(crate) fn prompt(&self) -> Option<String> {
        match self {
            Self::Idle => None,
            Self::Restart(input) => Some(format!("restart which service or instance? {input}_")),
            Self::Filter(input) => Some(format!("logs of which service? (empty: all) {input}_")),
        }
    }
}

/// What a key did to an input line.
enum Edited {
    Going(String),
    Done(String),
    Dropped,
}

fn edit(mut input: String, key: char) -> Edited {
    match key {
        '\n' | '\r' => Edited::Done(input.trim().to_owned()),
        '\x1b' => Edited::Dropped,
        '\x7f' | '\x08' => {
            input.pop();
            Edited::Going(input)
        }
        // Ctrl-U, as at a shell.
        '\x15' => Edited::Going(String::new()),
        key if !key.is_control() && input.chars().count() < INPUT_LEN_MAX => {
            input.push(key);
            Edited::Going(input)
        }
        _ => Edited::Going(input),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Types `text` and gives the last wish that is more than a redraw, and the prompt left.
    fn check(text: &str, wish: Option<Wish>, prompt: Option<&str>) {
        let mut keys = Keys::default();
        let last = text
            .chars()
            .filter_map(|key| keys.press(key))
            .filter(|wish| *wish != Wish::Redraw)
            .last();
        assert_eq!(last, wish, "{text:?}");
        assert_eq!(keys.prompt().as_deref(), prompt, "{text:?}");
    }

    #[test]
    fn single_keys_act_at_once() {
        check("l", Some(Wish::ToggleLogs), None);
        check("s", Some(Wish::Status), None);
        check("d", Some(Wish::Dashboard), None);
        check("?", Some(Wish::Help), None);
        check("q", Some(Wish::Quit), None);
        check("xyz\n\x1b", None, None);
    }

    #[test]
    fn restart_asks_which_and_can_be_corrected_and_dropped() {
        check("rusers\x7f\x7fr", None, Some("restart which service or instance? user_"));
        check("rusers/2\n", Some(Wish::Restart("users/2".into())), None);
        check("rq\x15 items \r", Some(Wish::Restart("items".into())), None);
        check("rusers\x1b", None, None);
        check("r\n", None, None);
    }

    #[test]
    fn a_filter_is_set_and_taken_away() {
        check("fusers\n", Some(Wish::Filter(Some("users".into()))), None);
        check("fusers\nf\n", Some(Wish::Filter(None)), None);
        check("f", None, Some("logs of which service? (empty: all) _"));
    }

    #[test]
    fn a_key_that_is_held_down_cannot_fill_the_memory() {
        let mut keys = Keys::default();
        for key in std::iter::once('f').chain(std::iter::repeat_n('x', 10_000)) {
            keys.press(key);
        }
        assert!(keys.prompt().unwrap().len() < 200);
    }
}
