//! What is played: how many buyers, how many places, when they come, how they behave, who else is
//! there. Presets, and what of their values makes no sense.

use std::{str::FromStr, time::Duration};

use serde::Serialize;

use crate::{Curve, model::Behaviour};

/// Everything that decides how a sale goes, beside the platform.
#[derive(Debug, Clone, Serialize)]
pub struct Scenario {
    /// What it is called.
    pub name: String,
    /// Where all chance comes from.
    pub seed: u64,
    /// Those who come to buy.
    pub buyers: u32,
    /// Places on sale: seats and admissions together.
    pub places: u32,
    /// How buyers' arrivals spread over `window`.
    pub curve: Curve,
    /// From the first arrival to the last.
    pub window: Duration,
    /// What buyers do.
    pub behaviour: Behaviour,
    /// How many are admitted a minute, where there is a queue.
    pub admissions_per_minute: u32,
    /// How long an admission is good.
    pub admission_ttl: Duration,
    /// How long places are held for those who have not paid.
    pub hold_ttl: Duration,
    /// The price of a place, in minor units.
    pub price_minor: i64,
    /// Accounts that buyers share; with a queue, each has one of its own.
    pub accounts: u32,
    /// Accounts that are told over a socket; the others ask.
    pub account_sockets: u32,
    /// How often those ask.
    pub poll_period: Duration,
    /// The most requests that wait for an answer at once. What comes beyond is late, and counted.
    pub in_flight: u32,
    /// Those who don't buy.
    pub background: Background,
}

/// Who is there beside the buyers.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Background {
    /// Requests for lists, details and what is free, a second.
    pub browses_per_second: f64,
    /// Requests for the head of the queue, a second.
    pub polls_per_second: f64,
    /// Sockets in the room of the event.
    pub sockets: u32,
    /// Edits and lists of those who sell, a second.
    pub edits_per_second: f64,
}

/// A preset by its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preset {
    /// Small, with a queue: about twenty seconds.
    Sale,
    /// 20,000 places, 100,000 buyers in a queue: about seven minutes, two and a half of which the
    /// accounts take to sign up.
    OnSale,
    /// No queue; up to what the machine can do, five times as many, half as many.
    Overload,
    /// 50,000 places, a million buyers within a minute, no queue; places are held first.
    Million,
    /// Ten minutes of a steady sale.
    Soak,
}

/// A value that makes no sense.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Senseless(String);

/// As many places as a plan may have.
const MOST_PLACES: u32 = 200_000;
const MOST_BUYERS: u32 = 10_000_000;
const MOST_ADMISSIONS_PER_MINUTE: u32 = 100_000;
const MOST_PLACES_A_BOOKING: u32 = 20;
const LONGEST_WINDOW: Duration = Duration::from_secs(24 * 3_600);
/// As short as booking-service holds at least.
const SHORTEST_HOLD: Duration = seconds(10);
/// As long as ticket-service holds at most.
const LONGEST_HOLD: Duration = Duration::from_secs(7_200);

const fn seconds(count: u64) -> Duration {
    Duration::from_secs(count)
}

impl FromStr for Preset {
    type Err = Senseless;

    fn from_str(word: &str) -> Result<Self, Senseless> {
        match word {
            "sale" => Ok(Self::Sale),
            "on-sale" => Ok(Self::OnSale),
            "overload" => Ok(Self::Overload),
            "million" => Ok(Self::Million),
            "soak" => Ok(Self::Soak),
            _ => Err(Senseless(format!(
                "{word:?} is no scenario: sale, on-sale, overload, million or soak"
            ))),
        }
    }
}

impl Preset {
    /// Its values.
    #[must_use]
    pub fn scenario(self) -> Scenario {
        let sale = small_sale();
        let patient = Behaviour { patience_mean: seconds(3_600), ..sale.behaviour };
        let straight = Behaviour { queue: false, come_back: 0.0, ..sale.behaviour };
        match self {
            Self::Sale => sale,
            Self::OnSale => Scenario {
                name: "on-sale".to_owned(),
                buyers: 100_000,
                places: 20_000,
                curve: Curve::Constant,
                window: seconds(60),
                admissions_per_minute: 9_000,
                accounts: 100_000,
                account_sockets: 9_000,
                poll_period: seconds(20),
                in_flight: 4_096,
                hold_ttl: seconds(20),
                behaviour: patient,
                ..sale
            },
            Self::Overload => Scenario {
                name: "overload".to_owned(),
                buyers: 50_000,
                places: 120_000,
                curve: Curve::Surge,
                window: seconds(60),
                hold_ttl: seconds(60),
                in_flight: 4_096,
                behaviour: Behaviour { ways: [0, 1, 1], put_offs: 0, ..straight },
                ..sale
            },
            Self::Million => Scenario {
                name: "million".to_owned(),
                buyers: 1_000_000,
                places: 50_000,
                curve: Curve::OnSale,
                window: seconds(60),
                hold_ttl: seconds(90),
                in_flight: 256,
                behaviour: Behaviour {
                    holds_first: true,
                    pay_median: seconds(20),
                    ways: [2, 8, 0],
                    tries: 3,
                    put_offs: 2,
                    ..straight
                },
                ..sale
            },
            Self::Soak => Scenario {
                name: "soak".to_owned(),
                buyers: 60_000,
                places: 200_000,
                curve: Curve::Constant,
                window: seconds(600),
                behaviour: straight,
                ..sale
            },
        }
    }
}

/// What `boxoffice rush` plays without further words.
fn small_sale() -> Scenario {
    Scenario {
        name: "sale".to_owned(),
        seed: 1,
        buyers: 1_200,
        places: 400,
        curve: Curve::OnSale,
        window: seconds(8),
        behaviour: Behaviour {
            queue: true,
            holds_first: false,
            ways: [4, 4, 2],
            most_places: 3,
            tries: 4,
            look_mean: Duration::from_millis(400),
            pay_median: Duration::from_millis(800),
            pay_sigma: 0.6,
            decline: 0.08,
            abandon: 0.04,
            patience_mean: seconds(12),
            come_back: 0.3,
            come_back_mean: seconds(3),
            visits: 2,
            put_offs: 40,
        },
        admissions_per_minute: 6_000,
        admission_ttl: seconds(30),
        hold_ttl: seconds(10),
        price_minor: 4_200,
        accounts: 500,
        account_sockets: 2_000,
        poll_period: seconds(1),
        in_flight: 512,
        background: Background {
            browses_per_second: 20.0,
            polls_per_second: 20.0,
            sockets: 50,
            edits_per_second: 1.0,
        },
    }
}

impl Scenario {
    /// Checks every value, and gives each buyer an account where a queue needs it.
    ///
    /// # Errors
    /// The first value that makes no sense.
    pub fn checked(mut self) -> Result<Self, Senseless> {
        let how = &self.behaviour;
        let within = |what: &str, value: u32, most: u32| {
            let fits = (1..=most).contains(&value);
            let refusal = || Senseless(format!("{what} is from 1 to {most}, not {value}"));
            fits.then_some(()).ok_or_else(refusal)
        };
        within("buyers", self.buyers, MOST_BUYERS)?;
        within("places", self.places, MOST_PLACES)?;
        within("admissions-per-minute", self.admissions_per_minute, MOST_ADMISSIONS_PER_MINUTE)?;
        within("places-a-booking", how.most_places, MOST_PLACES_A_BOOKING)?;
        within("tries", how.tries, 1_000)?;
        within("visits", how.visits, 1_000)?;
        within("accounts", self.accounts, MOST_BUYERS)?;
        within("in-flight", self.in_flight, 10_000)?;
        if how.ways.iter().all(|weight| *weight == 0) {
            return Err(Senseless("no way to choose places is left: --choice".to_owned()));
        }
        for (what, value) in
            [("decline", how.decline), ("abandon", how.abandon), ("come-back", how.come_back)]
        {
            if !(0.0..=1.0).contains(&value) {
                return Err(Senseless(format!("{what} is a probability, not {value}")));
            }
        }
        let background = &self.background;
        for (what, value) in [
            ("browses", background.browses_per_second),
            ("polls", background.polls_per_second),
            ("edits", background.edits_per_second),
            ("pay-sigma", how.pay_sigma),
        ] {
            if !(0.0..=100_000.0).contains(&value) {
                return Err(Senseless(format!("{what} can't be {value}")));
            }
        }
        if self.hold_ttl < SHORTEST_HOLD {
            let (time, least) = (self.hold_ttl.as_secs_f64(), SHORTEST_HOLD.as_secs());
            return Err(Senseless(format!("hold is at least {least} s, not {time} s")));
        }
        let times = [
            ("window", self.window, LONGEST_WINDOW),
            ("hold", self.hold_ttl, LONGEST_HOLD),
            ("poll", self.poll_period, LONGEST_WINDOW),
            ("patience", how.patience_mean, LONGEST_WINDOW),
        ];
        for (what, time, longest) in times {
            if time.is_zero() || time > longest {
                let (time, longest) = (time.as_secs_f64(), longest.as_secs());
                let text = format!("{what} is more than 0 and up to {longest} s, not {time} s");
                return Err(Senseless(text));
            }
        }
        self.accounts = if how.queue { self.buyers } else { self.accounts.min(self.buyers) };
        self.account_sockets = self.account_sockets.min(self.accounts);
        Ok(self)
    }

    /// How many places of the hall are seats; the rest are admissions.
    #[must_use]
    pub fn seats(&self) -> u32 {
        let [pick, best, admit] = self.behaviour.ways;
        let (seated, all) = (pick + best, pick + best + admit);
        let share = u64::from(self.places) * u64::from(seated) / u64::from(all.max(1));
        let least = u64::from(u8::from(seated > 0));
        u32::try_from(share.max(least)).unwrap_or(self.places).min(self.places)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn presets_make_sense_and_are_read_by_name() {
        for name in ["sale", "on-sale", "overload", "million", "soak"] {
            let scenario = name.parse::<Preset>().unwrap().scenario();
            assert_eq!(scenario.name, name);
            let checked = scenario.checked().unwrap();
            assert!(checked.seats() <= checked.places && checked.account_sockets <= 9_000);
        }
        assert!("party".parse::<Preset>().is_err());
    }

    #[test]
    fn nonsense_is_refused_in_a_line() {
        let refused = |change: fn(&mut Scenario)| {
            let mut scenario = small_sale();
            change(&mut scenario);
            scenario.checked().unwrap_err().to_string()
        };
        assert_eq!(refused(|its| its.buyers = 0), "buyers is from 1 to 10000000, not 0");
        assert!(refused(|its| its.places = 200_001).starts_with("places is"));
        assert!(refused(|its| its.behaviour.decline = 1.5).starts_with("decline is"));
        assert!(refused(|its| its.behaviour.decline = f64::NAN).starts_with("decline is"));
        assert!(refused(|its| its.background.polls_per_second = -1.0).starts_with("polls"));
        assert!(refused(|its| its.window = Duration::ZERO).starts_with("window is"));
        assert!(refused(|its| its.behaviour.ways = [0, 0, 0]).contains("choice"));
    }

    #[test]
    fn each_in_a_queue_has_an_account() {
        let sale = small_sale().checked().unwrap();
        assert_eq!(sale.accounts, sale.buyers);
        let million = Preset::Million.scenario().checked().unwrap();
        assert_eq!(million.accounts, 500);
    }

    #[test]
    fn a_hall_has_the_kinds_of_places_that_are_asked_for() {
        let halls = |ways| {
            let mut scenario = small_sale();
            scenario.behaviour.ways = ways;
            (scenario.seats(), scenario.places - scenario.seats())
        };
        assert_eq!(halls([4, 4, 2]), (320, 80));
        assert_eq!(halls([1, 0, 0]), (400, 0));
        assert_eq!(halls([0, 0, 1]), (0, 400));
    }
}
