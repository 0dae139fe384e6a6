//! A report as one page that needs nothing else: charts drawn as SVG, tables beside them.

use std::fmt::Write as _;

use crate::{
    report::Report,
    tally::{Second, Step},
};

const WIDTH: f64 = 860.0;
const HEIGHT: f64 = 240.0;
const LEFT: f64 = 64.0;
const BOTTOM: f64 = 28.0;
/// A wider chart would show points that no screen has.
const MOST_POINTS: usize = 800;
const COLOURS: [&str; 6] = ["#8a8f98", "#2563eb", "#d97706", "#059669", "#dc2626", "#7c3aed"];
const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:920px;margin:2rem auto;\
    padding:0 1rem;color:#1f2328;background:#fff}h1{font-size:1.5rem}h2{font-size:1.1rem;\
    margin-top:2rem}table{border-collapse:collapse;width:100%}td,th{padding:.2rem .6rem;\
    text-align:right;border-bottom:1px solid #d8dce2}td:first-child,th:first-child{text-align:left}\
    svg{width:100%;height:auto}.good{color:#047857}.bad{color:#b91c1c}text{font-size:11px;\
    fill:#57606a}";

impl Report {
    /// The page.
    #[must_use]
    pub fn page(&self) -> String {
        let name = self.scenario.get("name").and_then(|name| name.as_str()).unwrap_or_default();
        let mut page = format!(
            "<!doctype html><html lang=en><meta charset=utf-8><meta name=viewport \
             content=\"width=device-width\"><title>Rush: {0}</title><style>{STYLE}</style>\
             <h1>Rush: {0}, {1}</h1>",
            escaped(name),
            escaped(&self.platform)
        );
        self.verdict_of(&mut page);
        page.push_str("<h2>The sale, second by second</h2>");
        page.push_str(&lines(&self.seconds));
        page.push_str("<h2>Latency from the intended start, ms</h2>");
        page.push_str(&self.percentiles());
        self.latency_rows(&mut page);
        if !self.refusals.is_empty() {
            page.push_str("<h2>Refusals</h2>");
            let bars: Vec<_> =
                self.refusals.iter().map(|(what, count)| (what.as_str(), *count as f64)).collect();
            page.push_str(&bars_of(&bars, ""));
        }
        if !self.usage.is_empty() {
            page.push_str("<h2>Processor time a booking</h2>");
            let bookings = self.bookings.ticketed.max(1) as f64;
            let parts = self.usage.iter().filter(|usage| usage.cpu_ms > 0.0);
            let bars: Vec<_> =
                parts.map(|usage| (usage.part.as_str(), usage.cpu_ms / bookings)).collect();
            page.push_str(&bars_of(&bars, " ms"));
        }
        let _infallible =
            write!(page, "<h2>All of it</h2><pre>{}</pre>", escaped(&self.to_string()));
        page.push_str("</html>\n");
        page
    }

    fn verdict_of(&self, page: &mut String) {
        let class = if self.is_good() { "good" } else { "bad" };
        let _infallible = write!(
            page,
            "<p>{} buyers, <strong class={class}>{} of {} places sold, {} violations</strong>, \
             {:.1} s; {} bookings ticketed, at best {} a second.</p><ul>",
            self.arrived,
            self.sold,
            self.places,
            self.violations.len(),
            self.took_seconds,
            self.bookings.ticketed,
            self.bookings.best_ticketed
        );
        for violation in &self.violations {
            let _infallible = write!(page, "<li class=bad>{}</li>", escaped(violation));
        }
        page.push_str("</ul>");
    }

    /// Each step from its fastest to its slowest, on a logarithmic scale: median, 99 and 99.9 %.
    fn percentiles(&self) -> String {
        let shown: Vec<_> = self.latencies.iter().filter(|its| its.step != Step::Turn).collect();
        let most = shown.iter().map(|its| its.max_ms).fold(1.0, f64::max);
        let row = 26.0;
        let height = row * shown.len() as f64 + BOTTOM;
        let (left, span) = (110.0, WIDTH - 130.0);
        let x = |ms: f64| left + span * (ms.max(0.1) / 0.1).log10() / (most / 0.1).log10();
        let mut svg = open(height);
        let mut tick = 0.1;
        while tick <= most {
            let at = x(tick);
            let _infallible = write!(
                svg,
                "<line x1={at:.1} x2={at:.1} y1=0 y2={:.1} stroke=#eaecef /><text x={at:.1} \
                 y={:.1} text-anchor=middle>{tick}</text>",
                height - BOTTOM,
                height - 10.0
            );
            tick *= 10.0;
        }
        for (at, its) in shown.iter().enumerate() {
            let y = row * at as f64 + row / 2.0;
            let (name, from, to) = (its.step.name(), x(its.min_ms), x(its.max_ms));
            let _infallible = write!(
                svg,
                "<text x=4 y={:.1}>{name}</text><line x1={from:.1} x2={to:.1} y1={y:.1} y2={y:.1} \
                 stroke={} stroke-width=2 />",
                y + 4.0,
                COLOURS[0]
            );
            let points =
                [(its.p50_ms, COLOURS[1]), (its.p99_ms, COLOURS[2]), (its.p999_ms, COLOURS[4])];
            for (ms, colour) in points {
                let at = x(ms);
                let _infallible = write!(svg, "<circle cx={at:.1} cy={y:.1} r=5 fill={colour} />");
            }
        }
        svg + "</svg>"
    }

    fn latency_rows(&self, page: &mut String) {
        page.push_str("<table><tr><th>step");
        for column in ["count", "p50", "p90", "p99", "p99.9", "max"] {
            let _infallible = write!(page, "<th>{column}");
        }
        for its in &self.latencies {
            let _infallible = write!(page, "<tr><td>{}<td>{}", its.step.name(), its.count);
            for ms in [its.p50_ms, its.p90_ms, its.p99_ms, its.p999_ms, its.max_ms] {
                let _infallible = write!(page, "<td>{ms:.2}");
            }
        }
        page.push_str("</table>");
    }
}

fn open(height: f64) -> String {
    format!("<svg viewBox=\"0 0 {WIDTH} {height:.0}\" role=img>")
}

/// One of the things that a second has so many of.
type Count = fn(&Second) -> u64;

const COUNTS: [(&str, Count); 6] = [
    ("arrived", |second| second.arrived),
    ("held", |second| second.held),
    ("paid", |second| second.paid),
    ("ticketed", |second| second.ticketed),
    ("refused", |second| second.refused),
    ("put off", |second| second.put_off),
];

/// What each second brought, as lines over time. Long sales are drawn in steps of several seconds.
fn lines(seconds: &[Second]) -> String {
    let step = seconds.len().div_ceil(MOST_POINTS).max(1);
    let steps: Vec<&[Second]> = seconds.chunks(step).collect();
    let rate = |of: Count, seconds: &[Second]| {
        seconds.iter().map(of).sum::<u64>() as f64 / seconds.len().max(1) as f64
    };
    let all = COUNTS.iter().flat_map(|(_, of)| steps.iter().map(|its| rate(*of, its)));
    let most = all.fold(1.0, f64::max);
    let (width, height) = (WIDTH - LEFT - 8.0, HEIGHT - BOTTOM - 8.0);
    let last = seconds.len().saturating_sub(1).max(1) as f64;
    let mut svg = open(HEIGHT);
    for part in 0..=4_u8 {
        let value = most * f64::from(part) / 4.0;
        let y = 8.0 + height - height * f64::from(part) / 4.0;
        let at = last * f64::from(part) / 4.0;
        let x = LEFT + width * f64::from(part) / 4.0;
        let _infallible = write!(
            svg,
            "<line x1={LEFT} x2={} y1={y:.1} y2={y:.1} stroke=#eaecef /><text x={} y={:.1} \
             text-anchor=end>{value:.0}</text><text x={x:.1} y={} text-anchor=middle>{at:.0} s\
             </text>",
            LEFT + width,
            LEFT - 6.0,
            y + 4.0,
            HEIGHT - 8.0
        );
    }
    for ((name, of), (number, colour)) in COUNTS.iter().zip(COLOURS.iter().enumerate()) {
        let points: Vec<String> = steps
            .iter()
            .enumerate()
            .map(|(at, its)| {
                let x = LEFT + width * (at * step) as f64 / last;
                format!("{x:.1},{:.1}", 8.0 + height - height * rate(*of, its) / most)
            })
            .collect();
        let (points, y) = (points.join(" "), 20 + 14 * number);
        let _infallible = write!(
            svg,
            "<polyline points=\"{points}\" fill=none stroke={colour} stroke-width=1.6 />\
             <text x={} y={y} text-anchor=end style=\"fill:{colour}\">{name} a second</text>",
            WIDTH - 12.0
        );
    }
    svg + "</svg>"
}

fn bars_of(bars: &[(&str, f64)], unit: &str) -> String {
    let row = 22.0;
    let most = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let (left, span) = (300.0, WIDTH - 400.0);
    let mut svg = open(row * bars.len() as f64 + 4.0);
    for (at, (name, value)) in bars.iter().enumerate() {
        let y = row * at as f64 + 3.0;
        let (width, name) = (span * value / most, escaped(name));
        let digits = if unit.is_empty() { 0 } else { 3 };
        let _infallible = write!(
            svg,
            "<text x={} y={:.1} text-anchor=end>{name}</text><rect x={left} y={y:.1} \
             width={width:.1} height=16 fill={} /><text x={:.1} y={:.1}>{value:.digits$}{unit}\
             </text>",
            left - 8.0,
            y + 12.0,
            COLOURS[1],
            left + width + 6.0,
            y + 12.0
        );
    }
    svg + "</svg>"
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_sale_is_drawn_with_no_more_points_than_fit() {
        let second = Second { arrived: 3, held: 2, ..Second::default() };
        let points = |count: usize| {
            let svg = lines(&vec![second; count]);
            let line = svg.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
            line.split(' ').count()
        };
        assert_eq!(points(20), 20);
        assert_eq!(points(5_000), 5_000_usize.div_ceil(7));
        assert!(lines(&[]).ends_with("</svg>"), "an empty sale is no reason to fail");
    }

    #[test]
    fn text_is_no_markup() {
        assert_eq!(escaped("<b>&"), "&lt;b&gt;&amp;");
        assert!(bars_of(&[("<x>", 1.0)], "").contains("&lt;x&gt;"));
    }
}
