//! `flotilla top`: who uses the machine and who gets the traffic, now.

use super::{
    Context,
    args::{Format, Names},
    exit::{Exit, Outcome},
    locate,
    output::{Align, Cell, Paint, Tint, table},
    ps::{cpu, to_json},
    ui::{screen::Screen, terminal},
    words,
};
use api::{client, wire};
use base::ByteSize;
use std::time::Duration;

/// How often the live table is drawn.
const PERIOD: Duration = Duration::from_secs(1);

/// Once on a pipe or with `-o json`; again every second on a terminal, until Ctrl-C or the system ends.
pub(crate) async fn run(context: &Context, args: &Names) -> Outcome {
    let client = context.place()?.client();
    let status = client.status().await.map_err(|e| locate::unanswered(&e))?;
    locate::known(&args.names, &status)?;
    let out = &context.out;
    let is_live = out.is_terminal && terminal::understands_cursor() && out.format != Format::Json;
    let mut screen = Screen::default();
    loop {
        let mut top = match client.top().await {
            Ok(top) => top,
            Err(client::Error::NotRunning { .. }) if is_live => {
                out.say("the system was stopped");
                return Ok(Exit::Success);
            }
            Err(e) => return Err(locate::unanswered(&e)),
        };
        top.instances.retain(|row| {
            args.names.is_empty()
                || args.names.contains(&row.service)
                || args.names.contains(&row.instance)
        });
        if out.is_json() {
            out.json(&to_json(&top)?)?;
            return Ok(Exit::Success);
        }
        let text = render(&top, out.paint);
        if !is_live {
            out.raw(&text)?;
            return Ok(Exit::Success);
        }
        let block = text.lines().map(str::to_owned).collect();
        out.raw(&screen.draw("", block, terminal::height()))?;
        tokio::time::sleep(PERIOD).await;
    }
}

/// The table, with the node itself as the last row.
fn render(top: &wire::Top, paint: Paint) -> String {
    let head = [
        ("INSTANCE", Align::Left),
        ("STATE", Align::Left),
        ("CPU", Align::Right),
        ("MEMORY", Align::Right),
        ("UP", Align::Right),
        ("RESTARTS", Align::Right),
        ("REQ/S", Align::Right),
        ("OPEN", Align::Right),
        ("ERRORS/S", Align::Right),
        ("P50", Align::Right),
        ("P99", Align::Right),
    ];
    let mut rows: Vec<Vec<Cell>> = top.instances.iter().map(row).collect();
    rows.push(vec![
        Cell::tinted("(node)", Tint::Dim),
        "".into(),
        cpu(top.node.cpu_cores).into(),
        ByteSize(top.node.memory_bytes).to_string().into(),
    ]);
    table(paint, &head, &rows)
}

fn row(row: &wire::TopRow) -> Vec<Cell> {
    let (word, tint) = words::instance_state(row.state);
    let mut cells: Vec<Cell> = vec![
        row.instance.as_str().into(),
        Cell::tinted(word, tint),
        row.cpu_cores.map(cpu).unwrap_or_default().into(),
        row.memory_bytes.map(|bytes| ByteSize(bytes).to_string()).unwrap_or_default().into(),
        row.uptime_ms
            .map(|ms| words::duration(Duration::from_millis(ms)))
            .unwrap_or_default()
            .into(),
        row.restarts.to_string().into(),
    ];
    if let Some(traffic) = &row.traffic {
        let errors = format!("{:.1}", traffic.errors_per_second);
        let ms = |value: Option<f64>| value.map(|ms| format!("{ms:.1} ms")).unwrap_or_default();
        cells.extend([
            format!("{:.1}", traffic.requests_per_second).into(),
            traffic.in_flight.to_string().into(),
            if traffic.errors_per_second > 0.0 {
                Cell::tinted(errors, Tint::Red)
            } else {
                errors.into()
            },
            ms(traffic.latency.map(|l| l.p50_ms)).into(),
            ms(traffic.latency.map(|l| l.p99_ms)).into(),
        ]);
    }
    cells
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;

    #[test]
    fn the_table_shows_use_and_traffic_and_the_node_last() {
        let instance = wire::TopRow {
            instance: "users/1".into(),
            service: "users".into(),
            state: wire::InstanceState::Ready,
            pid: Some(7),
            cpu_cores: Some(0.123),
            memory_bytes: Some(12 << 20),
            processes: Some(1),
            uptime_ms: Some(65_000),
            restarts: 0,
            traffic: Some(wire::TrafficCounts {
                requests_per_second: 12.5,
                in_flight: 2,
                latency: Some(wire::Latency { p50_ms: 0.4, p95_ms: 1.0, p99_ms: 3.25 }),
                ..wire::TrafficCounts::default()
            }),
        };
        let idle = wire::TopRow {
            instance: "jobs/1".into(),
            service: "jobs".into(),
            state: wire::InstanceState::Starting,
            pid: None,
            cpu_cores: None,
            memory_bytes: None,
            processes: None,
            uptime_ms: None,
            restarts: 0,
            traffic: None,
        };
        let node = wire::NodeUsage { cpu_cores: 0.01, cpu_ms: 5, memory_bytes: 30 << 20 };
        let top = wire::Top { node, instances: vec![instance, idle], ..wire::Top::default() };
        expect![[r#"
            INSTANCE  STATE       CPU  MEMORY        UP  RESTARTS  REQ/S  OPEN  ERRORS/S     P50     P99
            users/1   ready     12.3%   12MiB  1 m 05 s         0   12.5     2       0.0  0.4 ms  3.2 ms
            jobs/1    starting                                  0
            (node)               1.0%   30MiB
        "#]]
        .assert_eq(&render(&top, Paint { on: false }));
    }
}
