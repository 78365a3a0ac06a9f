use super::*;
use crate::cli::sample;

fn line(stream: wire::Stream, text: &str) -> wire::LogLine {
    wire::LogLine {
        seq: 1,
        at: wire::Time::default(),
        service: "users".into(),
        instance: "users/2".into(),
        stream,
        level: None,
        text: text.into(),
        cut: false,
    }
}

#[test]
fn times_read_in_the_unit_that_fits() {
    for (ms, text) in [
        (0, "0 ms"),
        (12, "12 ms"),
        (410, "0.4 s"),
        (3_449, "3.4 s"),
        (125_000, "2 m 05 s"),
        (11_520_000, "3 h 12 m"),
        (352_800_000, "4 d 2 h"),
    ] {
        assert_eq!(duration(Duration::from_millis(ms)), text);
    }
    let at = |s: u64| wire::Time(base::Timestamp(s * 1_000_000));
    for (s, text) in [(5, "5s"), (119, "119s"), (180, "3m"), (7_300, "2h"), (900_000, "10d")] {
        assert_eq!(age(at(1_000), at(1_000 + s)), text);
    }
    assert_eq!(age(at(1_000), at(1)), "0s");
}

#[test]
fn neighbouring_ports_become_a_range() {
    let with = |ports: &[u16]| {
        let instances: Vec<_> = ports
            .iter()
            .map(|port| wire::Instance {
                port: Some(*port),
                ..sample::instance("a", 1, wire::InstanceState::Ready)
            })
            .collect();
        super::ports(&instances)
    };
    assert_eq!(with(&[]), "");
    assert_eq!(with(&[41_003, 41_001, 41_002]), ":41001-41003");
    assert_eq!(with(&[1, 3, 4, 65_535]), ":1,3-4,65535");
}

#[test]
fn a_line_names_its_instance_and_marks_the_error_stream() {
    let off = Paint { on: false };
    let (out, err) = (line(wire::Stream::Out, "hello"), line(wire::Stream::Err, "oh"));
    assert_eq!(log_line(&out, 9, off, false), "users/2   | hello\n");
    assert_eq!(log_line(&out, 7, off, true), "users/2 │ hello\n");
    assert_eq!(log_line(&err, 7, off, true), "users/2 ┃ oh\n");
    let cut = wire::LogLine { cut: true, ..out.clone() };
    assert_eq!(log_line(&cut, 7, off, true), "users/2 │ hello …\n");
    let coloured = log_line(&out, 7, Paint { on: true }, true);
    assert!(coloured.contains("\x1b[") && coloured.ends_with("hello\n"), "{coloured:?}");
}

#[test]
fn output_keeps_its_colours_and_cannot_move_the_cursor() {
    let on = Paint { on: true };
    let evil = "a\x1b[2J\x1b[31mred\x1b]0;title\x07\x1b[1A\rb\x1bcc\tend";
    let shown = log_line(&line(wire::Stream::Out, evil), 7, on, true);
    assert!(shown.ends_with("a\x1b[31mredbc\tend\x1b[0m\n"), "{shown:?}");
    let plain = log_line(&line(wire::Stream::Out, evil), 7, Paint { on: false }, false);
    assert_eq!(plain, "users/2 | aredbc\tend\n");
    assert_eq!(without_escapes("\x1b"), "");
    assert_eq!(without_escapes("x\x1b["), "x");
    assert_eq!(without_escapes("x\x1b]8;;http://y\x1b\\z"), "xz");
}

#[test]
fn a_problem_that_two_services_share_is_shown_once() {
    let mut a = sample::service("a", wire::ServiceState::Failed, 0, 1);
    a.problem = Some(sample::problem("port 8080 is taken"));
    let mut b = a.clone();
    b.name = "b".into();
    let status = sample::status(1, wire::Phase::Degraded, vec![a, b]);
    assert_eq!(problems_of(&status, |_| true).len(), 1);
    assert!(problems_of(&status, |name| name == "c").is_empty());
}
