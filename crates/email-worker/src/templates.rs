//! Templates: rendered once, when the mail is delivered. HTML escapes what it is given; text has no
//! markup to escape.

use std::collections::BTreeMap;

use fast_qr::{QRCode, qr::QRBuilder};
use jiff::tz::TimeZone;
use kernel::{Failure, Timestamp};
use minijinja::{AutoEscape, Environment, Error, ErrorKind, Value};

/// Both forms of a mail.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rendered {
    pub html: String,
    pub text: String,
}

pub(crate) struct Templates(Environment<'static>);

const SOURCES: [(&str, &str); 12] = [
    ("layout.html", include_str!("../templates/layout.html")),
    ("layout.txt", include_str!("../templates/layout.txt")),
    ("verification.html", include_str!("../templates/verification.html")),
    ("verification.txt", include_str!("../templates/verification.txt")),
    ("booking_confirmed.html", include_str!("../templates/booking_confirmed.html")),
    ("booking_confirmed.txt", include_str!("../templates/booking_confirmed.txt")),
    ("booking_cancelled.html", include_str!("../templates/booking_cancelled.html")),
    ("booking_cancelled.txt", include_str!("../templates/booking_cancelled.txt")),
    ("booking_refunded.html", include_str!("../templates/booking_refunded.html")),
    ("booking_refunded.txt", include_str!("../templates/booking_refunded.txt")),
    ("booking_failed.html", include_str!("../templates/booking_failed.html")),
    ("booking_failed.txt", include_str!("../templates/booking_failed.txt")),
];

impl Templates {
    pub(crate) fn new() -> Result<Self, Error> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(minijinja::UndefinedBehavior::Strict);
        environment.set_auto_escape_callback(|name| {
            if name.ends_with(".html") { AutoEscape::Html } else { AutoEscape::None }
        });
        environment.add_filter("qr", |code: &str| {
            qr_image(code).map_err(|error| Error::new(ErrorKind::InvalidOperation, error.detail))
        });
        for (name, source) in SOURCES {
            environment.add_template(name, source)?;
        }
        Ok(Self(environment))
    }

    /// Renders both forms of `template`; a value that is missing is an error, never a gap.
    pub(crate) fn render(&self, template: &str, values: &Value) -> Result<Rendered, Error> {
        let form = |ending: &str| {
            self.0.get_template(&format!("{template}.{ending}"))?.render(values.clone())
        };
        Ok(Rendered { html: form("html")?, text: form("txt")? })
    }
}

/// What a template is to say, from its JSON.
pub(crate) fn values(json: serde_json::Value) -> Value {
    match json {
        serde_json::Value::Null => ().into(),
        serde_json::Value::Bool(is) => is.into(),
        serde_json::Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into(),
            None => number.as_f64().unwrap_or(f64::NAN).into(),
        },
        serde_json::Value::String(text) => text.into(),
        serde_json::Value::Array(list) => list.into_iter().map(values).collect::<Vec<_>>().into(),
        serde_json::Value::Object(entries) => {
            let entries = entries.into_iter().map(|(name, value)| (name, values(value)));
            Value::from(entries.collect::<BTreeMap<String, Value>>())
        }
    }
}

/// A QR code (ISO/IEC 18004) of `content`, as the address of an inline image: PNG with a bit a
/// pixel, which programs for mail show, unlike SVG, and which is a thirtieth of it.
pub(crate) fn qr_image(content: &str) -> Result<String, Failure> {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let code =
        QRBuilder::new(content).build().map_err(|error| Failure::internal(format!("{error:?}")))?;
    let png = png(&code).map_err(Failure::internal)?;
    Ok(format!("data:image/png;base64,{}", STANDARD.encode(png)))
}

/// Light modules around a code, as its standard wants them.
const QUIET_ZONE: usize = 4;
/// How many pixels a module is wide.
const SCALE: usize = 4;

fn png(code: &QRCode) -> Result<Vec<u8>, png::EncodingError> {
    let modules = code.size + 2 * QUIET_ZONE;
    let (side, row_bytes) = (modules * SCALE, (modules * SCALE).div_ceil(8));
    let is_dark = |row: usize, column: usize| {
        let inside = |place: usize| place.checked_sub(QUIET_ZONE).filter(|at| *at < code.size);
        let at = inside(row).zip(inside(column));
        at.is_some_and(|(row, column)| code[row].get(column).is_some_and(|module| module.value()))
    };
    let mut pixels = Vec::with_capacity(side * row_bytes);
    for row in 0..modules {
        let mut line = vec![0xff_u8; row_bytes];
        for pixel in (0..side).filter(|pixel| is_dark(row, pixel / SCALE)) {
            if let Some(byte) = line.get_mut(pixel / 8) {
                *byte &= !(0x80 >> (pixel % 8));
            }
        }
        (0..SCALE).for_each(|_| pixels.extend_from_slice(&line));
    }
    let side = u32::try_from(side).unwrap_or(u32::MAX);
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, side, side);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    // Twice the bytes of the best, in a twentieth of the time.
    encoder.set_compression(png::Compression::Fast);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    Ok(file)
}

/// A moment as people at the venue read it: `Tue 22 Dec 2026, 20:00`.
pub(crate) fn local_time(at: Timestamp, time_zone: &str) -> String {
    let zone = TimeZone::get(time_zone).unwrap_or(TimeZone::UTC);
    match jiff::Timestamp::from_microsecond(at.micros()) {
        Ok(at) => at.to_zoned(zone).strftime("%a %-d %b %Y, %H:%M").to_string(),
        Err(_) => at.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use minijinja::context;

    use super::*;

    #[test]
    fn values_are_escaped_in_html_and_none_may_be_missing() {
        let templates = Templates::new().unwrap();
        let values = context!(
            first_name => "<script>alert(1)</script>", pin => "123456", expires_at => "soon"
        );
        let mail = templates.render("verification", &values).unwrap();
        assert!(!mail.html.contains("<script>") && mail.html.contains("&lt;script&gt;"));
        assert!(mail.text.contains("123456") && mail.html.contains("123456"));
        let incomplete = context!(first_name => "Ada");
        assert!(templates.render("verification", &incomplete).is_err());
    }

    #[test]
    fn times_are_told_as_the_venue_reads_them() {
        let at = Timestamp::parse("2026-12-22T19:00:00Z").unwrap();
        assert_eq!(local_time(at, "Europe/Berlin"), "Tue 22 Dec 2026, 20:00");
        assert_eq!(local_time(at, "Nowhere/Else"), "Tue 22 Dec 2026, 19:00");
    }

    #[test]
    fn a_code_becomes_a_picture_of_its_modules() {
        use base64::{Engine, engine::general_purpose::STANDARD};
        let content = "BX1.".to_owned() + &"aZ09_-".repeat(32);
        let image = qr_image(&content).unwrap();
        let file = STANDARD.decode(image.strip_prefix("data:image/png;base64,").unwrap()).unwrap();
        assert!(file.len() < 3_000, "{} bytes", file.len());
        let mut reader = png::Decoder::new(std::io::Cursor::new(file)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        let shown = reader.next_frame(&mut pixels).unwrap();
        let code = QRBuilder::new(&*content).build().unwrap();
        let side = (code.size + 2 * QUIET_ZONE) * SCALE;
        assert_eq!((shown.width as usize, shown.height as usize), (side, side));
        let is_dark = |row: usize, column: usize| {
            pixels[row * shown.line_size + column / 8] & (0x80 >> (column % 8)) == 0
        };
        for (row, column) in (0..side).flat_map(|row| (0..side).map(move |column| (row, column))) {
            let module = |pixel: usize| (pixel / SCALE).checked_sub(QUIET_ZONE);
            let at = module(row).zip(module(column));
            let at = at.filter(|(row, column)| *row < code.size && *column < code.size);
            let expected = at.is_some_and(|(row, column)| code[row][column].value());
            assert_eq!(is_dark(row, column), expected, "{row}, {column}");
        }
        assert!(qr_image(&"x".repeat(10_000)).is_err());
    }
}
