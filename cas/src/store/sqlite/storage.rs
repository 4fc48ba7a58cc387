//! The storages as tables. A number without a sign is kept as SQLite's with one, bit by bit.

use std::fmt;
use std::net::SocketAddr;

use rusqlite::types::Type;
use rusqlite::{OptionalExtension, Params, Row, named_params, params};

use super::Sqlite;
use crate::control::CallId;
use crate::site::handling::{Handling, Mode};
use crate::site::schedule::Schedules;
use crate::site::{
    Access, Device, DeviceId, DigestPolicy, Extension, Feature, Role, Sealed, Target, User, UserId, written,
};
use crate::store::{
    BindingRecord, CUT_SHORT, CallHandling, Configuration, Directory, History, HistoryKind, HistoryQuery,
    HistoryRecord, LastCalls, MAX_HISTORY, Registrations, StoreError, SubscriptionRecord, Subscriptions,
};
use crate::time::Wall;

impl Directory for Sqlite {
    fn users(&self) -> Result<Vec<User>, StoreError> {
        self.rows("SELECT * FROM user ORDER BY id", [], user)
    }

    fn devices(&self) -> Result<Vec<Device>, StoreError> {
        self.rows("SELECT * FROM device ORDER BY id", [], device)
    }

    fn numbers(&self) -> Result<Vec<(Extension, Target)>, StoreError> {
        self.rows("SELECT * FROM number ORDER BY number", [], number)
    }

    fn last_ids(&self) -> Result<(UserId, DeviceId), StoreError> {
        let last = |table: &str| {
            let sql = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
            let id = self.connection.query_row(sql, [table], |row| unsigned(row, "seq")).optional()?;
            Ok::<u64, StoreError>(id.unwrap_or(0))
        };
        Ok((UserId(last("user")?), DeviceId(last("device")?)))
    }

    fn put_user(&mut self, user: &User) -> Result<(), StoreError> {
        self.change(
            "INSERT INTO user (id, login, first, last, email, role, password_hash, pin_hash, pickup_group)
             VALUES (:id, :login, :first, :last, :email, :role, :password_hash, :pin_hash, :pickup_group)
             ON CONFLICT (id) DO UPDATE SET login = :login, first = :first, last = :last, email = :email, role = :role,
                 password_hash = :password_hash, pin_hash = :pin_hash, pickup_group = :pickup_group",
            named_params! {
                ":id": user.id.0.cast_signed(),
                ":login": user.login,
                ":first": user.first,
                ":last": user.last,
                ":email": user.email,
                ":role": user.role.name(),
                ":password_hash": user.password_hash,
                ":pin_hash": user.pin_hash,
                ":pickup_group": user.pickup_group,
            },
        )
    }

    fn remove_user(&mut self, id: UserId) -> Result<(), StoreError> {
        self.change("DELETE FROM user WHERE id = ?1", [id.0.cast_signed()])
    }

    fn put_device(&mut self, device: &Device) -> Result<(), StoreError> {
        let (digest, address) = match &device.access {
            Access::Digest { sip_user, secret, ha1_md5, ha1_sha256, policy } => {
                (Some((sip_user, &secret.0, ha1_md5, ha1_sha256, policy)), None)
            }
            Access::Address(address) => (None, Some(address.to_string())),
        };
        self.change(
            "INSERT INTO device (id, user, sip_user, secret, ha1_md5, ha1_sha256, policy, address)
             VALUES (:id, :user, :sip_user, :secret, :ha1_md5, :ha1_sha256, :policy, :address)
             ON CONFLICT (id) DO UPDATE SET user = :user, sip_user = :sip_user, secret = :secret, ha1_md5 = :ha1_md5,
                 ha1_sha256 = :ha1_sha256, policy = :policy, address = :address",
            named_params! {
                ":id": device.id.0.cast_signed(),
                ":user": device.user.map(|user| user.0.cast_signed()),
                ":sip_user": digest.map(|digest| digest.0),
                ":secret": digest.map(|digest| digest.1),
                ":ha1_md5": digest.map(|digest| digest.2),
                ":ha1_sha256": digest.map(|digest| digest.3),
                ":policy": digest.and_then(|digest| digest.4.map(DigestPolicy::name)),
                ":address": address,
            },
        )
    }

    fn remove_device(&mut self, id: DeviceId) -> Result<(), StoreError> {
        self.change("DELETE FROM device WHERE id = ?1", [id.0.cast_signed()])
    }

    fn put_number(&mut self, number: &Extension, target: &Target) -> Result<(), StoreError> {
        let (user, feature) = match target {
            Target::User(user) => (Some(user.0.cast_signed()), None),
            Target::Feature(feature) => (None, Some(feature.name())),
        };
        self.change("REPLACE INTO number (number, user, feature) VALUES (?1, ?2, ?3)", params![number.0, user, feature])
    }

    fn remove_number(&mut self, number: &Extension) -> Result<(), StoreError> {
        self.change("DELETE FROM number WHERE number = ?1", [&number.0])
    }
}

impl CallHandling for Sqlite {
    fn handlings(&self) -> Result<Vec<(UserId, Handling)>, StoreError> {
        self.rows("SELECT * FROM handling ORDER BY user", [], handling)
    }

    fn put_handling(&mut self, user: UserId, handling: &Handling) -> Result<(), StoreError> {
        self.change(
            "REPLACE INTO handling (user, mode, follows, rules) VALUES (?1, ?2, ?3, ?4)",
            params![
                user.0.cast_signed(),
                handling.mode.name(),
                handling.follows,
                written::rules_by_mode(handling).to_string(),
            ],
        )
    }

    fn schedules(&self) -> Result<Vec<(Option<UserId>, Schedules)>, StoreError> {
        let of_site =
            self.rows("SELECT NULL AS user, value AS entries FROM setting WHERE name = ?1", [SCHEDULES], schedules)?;
        let of_users = self.rows("SELECT * FROM schedule ORDER BY user", [], schedules)?;
        Ok(of_site.into_iter().chain(of_users).collect())
    }

    fn put_schedules(&mut self, owner: Option<UserId>, schedules: &Schedules) -> Result<(), StoreError> {
        let entries = written::schedules(schedules).to_string();
        match owner {
            None => self.change("REPLACE INTO setting (name, value) VALUES (?1, ?2)", [SCHEDULES, &entries]),
            Some(user) => self.change(
                "REPLACE INTO schedule (user, entries) VALUES (?1, ?2)",
                params![user.0.cast_signed(), entries],
            ),
        }
    }
}

/// The setting that holds those of the site.
const SCHEDULES: &str = "schedules";

impl Configuration for Sqlite {
    fn realm(&self) -> Result<String, StoreError> {
        Ok(self.connection.query_row("SELECT value FROM setting WHERE name = 'realm'", [], |row| row.get(0))?)
    }
}

impl Registrations for Sqlite {
    fn bindings(&self) -> Result<Vec<BindingRecord>, StoreError> {
        self.rows("SELECT * FROM binding ORDER BY device, contact, reg_id", [], binding)
    }

    fn put_binding(&mut self, binding: &BindingRecord) -> Result<(), StoreError> {
        self.change(
            "REPLACE INTO binding
                 (device, contact, reg_id, instance, path, q, sip_call_id, cseq, agent, transport, local, source, expires)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13)",
            params![
                binding.device.0.cast_signed(),
                binding.contact,
                binding.reg_id,
                binding.instance,
                binding.path,
                binding.q,
                binding.sip_call_id,
                binding.cseq,
                binding.agent,
                binding.transport,
                binding.local.to_string(),
                binding.source.to_string(),
                binding.expires.0.cast_signed(),
            ],
        )
    }

    fn remove_binding(&mut self, device: DeviceId, contact: &str, reg_id: u32) -> Result<(), StoreError> {
        self.change(
            "DELETE FROM binding WHERE device = ?1 AND contact = ?2 AND reg_id = ?3",
            params![device.0.cast_signed(), contact, reg_id],
        )
    }

    fn remove_ended_bindings(&mut self, now: Wall) -> Result<(), StoreError> {
        self.change("DELETE FROM binding WHERE expires <= ?1", [now.0.cast_signed()])
    }
}

impl History for Sqlite {
    fn records(&self, query: &HistoryQuery) -> Result<Vec<HistoryRecord>, StoreError> {
        self.rows(
            "SELECT * FROM history
             WHERE user = :user AND started > :after AND started < :before AND cause <> ''
                 AND (:device IS NULL OR device = :device) AND (:kind IS NULL OR kind = :kind)
             ORDER BY started DESC, call DESC LIMIT :max",
            named_params! {
                ":user": query.user.0.cast_signed(),
                ":after": query.after.map_or(-1, |after| after.0.cast_signed()),
                ":before": query.before.map_or(i64::MAX, |before| before.0.cast_signed()),
                ":device": query.device.map(|device| device.0.cast_signed()),
                ":kind": query.kind.map(HistoryKind::name),
                ":max": query.max.min(MAX_HISTORY) as u32,
            },
            record,
        )
    }

    fn end_records(&mut self) -> Result<(), StoreError> {
        self.change("UPDATE history SET cause = ?1 WHERE cause = ''", [CUT_SHORT])
    }

    fn count_records(&self, user: UserId) -> Result<usize, StoreError> {
        let sql = "SELECT count(*) AS records FROM history WHERE user = ?1";
        let mut statement = self.connection.prepare_cached(sql)?;
        Ok(statement.query_row([user.0.cast_signed()], |row| unsigned(row, "records"))? as usize)
    }

    fn remove_oldest(&mut self, user: UserId, before: Option<Wall>, most: usize) -> Result<usize, StoreError> {
        let before = before.map_or(i64::MAX, |before| before.0.cast_signed());
        let mut statement = self.connection.prepare_cached(
            "DELETE FROM history WHERE call IN
                 (SELECT call FROM history WHERE user = ?1 AND started < ?2 ORDER BY started, call LIMIT ?3)",
        )?;
        Ok(statement.execute(params![user.0.cast_signed(), before, most as u32])?)
    }

    fn put_record(&mut self, record: &HistoryRecord) -> Result<(), StoreError> {
        self.change(
            "REPLACE INTO history
                 (call, user, device, kind, addr, name, started, duration_msec, cause, media, note)
             SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11 WHERE EXISTS (SELECT * FROM user WHERE id = ?2)",
            params![
                record.call.0.cast_signed(),
                record.user.0.cast_signed(),
                record.device.map(|device| device.0.cast_signed()),
                record.kind.name(),
                record.addr,
                record.name,
                record.started.0.cast_signed(),
                record.duration_msec.cast_signed(),
                record.cause,
                record.media,
                record.note,
            ],
        )
    }

    fn last_calls(&self) -> Result<Vec<LastCalls>, StoreError> {
        self.rows("SELECT * FROM last_calls ORDER BY user", [], last_calls)
    }

    fn put_last_calls(&mut self, last: &LastCalls) -> Result<(), StoreError> {
        self.change(
            "REPLACE INTO last_calls (user, dialled, caller)
             SELECT ?1, ?2, ?3 WHERE EXISTS (SELECT * FROM user WHERE id = ?1)",
            params![last.user.0.cast_signed(), last.dialled, last.caller],
        )
    }
}

impl Subscriptions for Sqlite {
    fn subscriptions(&self) -> Result<Vec<SubscriptionRecord>, StoreError> {
        self.rows("SELECT * FROM subscription ORDER BY id", [], subscription)
    }

    fn put_subscription(&mut self, subscription: &SubscriptionRecord) -> Result<(), StoreError> {
        self.change(
            "REPLACE INTO subscription (id, user, app_id, device, topic, kind, args) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
            params![
                subscription.id.cast_signed(),
                subscription.user.0.cast_signed(),
                subscription.app_id,
                subscription.device.map(|device| device.0.cast_signed()),
                subscription.topic,
                subscription.kind,
                serde_json::Value::from(subscription.args.as_slice()).to_string(),
            ],
        )
    }

    fn remove_subscription(&mut self, id: u64) -> Result<(), StoreError> {
        self.change("DELETE FROM subscription WHERE id = ?1", [id.cast_signed()])
    }
}

impl Sqlite {
    fn change(&mut self, sql: &str, params: impl Params) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute(params)?;
        Ok(())
    }

    fn rows<T>(
        &self,
        sql: &str,
        params: impl Params,
        read: fn(&Row<'_>) -> rusqlite::Result<T>,
    ) -> Result<Vec<T>, StoreError> {
        let mut statement = self.connection.prepare_cached(sql)?;
        let rows = statement.query_map(params, read)?;
        Ok(rows.collect::<rusqlite::Result<Vec<T>>>()?)
    }
}

fn user(row: &Row<'_>) -> rusqlite::Result<User> {
    Ok(User {
        id: UserId(unsigned(row, "id")?),
        login: row.get("login")?,
        first: row.get("first")?,
        last: row.get("last")?,
        email: row.get("email")?,
        role: named(row, "role", Role::from_name)?,
        password_hash: row.get("password_hash")?,
        pin_hash: row.get("pin_hash")?,
        pickup_group: row.get("pickup_group")?,
    })
}

fn device(row: &Row<'_>) -> rusqlite::Result<Device> {
    let access = match row.get::<_, Option<String>>("sip_user")? {
        Some(sip_user) => Access::Digest {
            sip_user,
            secret: Sealed(row.get("secret")?),
            ha1_md5: row.get("ha1_md5")?,
            ha1_sha256: row.get("ha1_sha256")?,
            policy: match row.get::<_, Option<String>>("policy")? {
                Some(_) => Some(named(row, "policy", DigestPolicy::from_name)?),
                None => None,
            },
        },
        None => Access::Address(named(row, "address", |text| text.parse().ok())?),
    };
    Ok(Device { id: DeviceId(unsigned(row, "id")?), user: optional(row, "user")?.map(UserId), access })
}

fn number(row: &Row<'_>) -> rusqlite::Result<(Extension, Target)> {
    let target = match optional(row, "user")? {
        Some(user) => Target::User(UserId(user)),
        None => Target::Feature(named(row, "feature", Feature::from_name)?),
    };
    Ok((Extension(row.get("number")?), target))
}

fn handling(row: &Row<'_>) -> rusqlite::Result<(UserId, Handling)> {
    let handling = Handling {
        mode: named(row, "mode", Mode::from_name)?,
        follows: row.get("follows")?,
        rules: named(row, "rules", written::read_rules_by_mode)?,
    };
    Ok((UserId(unsigned(row, "user")?), handling))
}

fn schedules(row: &Row<'_>) -> rusqlite::Result<(Option<UserId>, Schedules)> {
    Ok((optional(row, "user")?.map(UserId), named(row, "entries", written::read_schedules)?))
}

fn binding(row: &Row<'_>) -> rusqlite::Result<BindingRecord> {
    let address = |column| named(row, column, |text| text.parse::<SocketAddr>().ok());
    Ok(BindingRecord {
        device: DeviceId(unsigned(row, "device")?),
        contact: row.get("contact")?,
        reg_id: row.get("reg_id")?,
        instance: row.get("instance")?,
        path: row.get("path")?,
        q: row.get("q")?,
        sip_call_id: row.get("sip_call_id")?,
        cseq: row.get("cseq")?,
        agent: row.get("agent")?,
        transport: row.get("transport")?,
        local: address("local")?,
        source: address("source")?,
        expires: Wall(unsigned(row, "expires")?),
    })
}

fn record(row: &Row<'_>) -> rusqlite::Result<HistoryRecord> {
    Ok(HistoryRecord {
        call: CallId(unsigned(row, "call")?),
        user: UserId(unsigned(row, "user")?),
        device: optional(row, "device")?.map(DeviceId),
        kind: named(row, "kind", HistoryKind::from_name)?,
        addr: row.get("addr")?,
        name: row.get("name")?,
        started: Wall(unsigned(row, "started")?),
        duration_msec: unsigned(row, "duration_msec")?,
        cause: row.get("cause")?,
        media: row.get("media")?,
        note: row.get("note")?,
    })
}

fn last_calls(row: &Row<'_>) -> rusqlite::Result<LastCalls> {
    Ok(LastCalls { user: UserId(unsigned(row, "user")?), dialled: row.get("dialled")?, caller: row.get("caller")? })
}

fn subscription(row: &Row<'_>) -> rusqlite::Result<SubscriptionRecord> {
    Ok(SubscriptionRecord {
        id: unsigned(row, "id")?,
        user: UserId(unsigned(row, "user")?),
        app_id: row.get("app_id")?,
        device: optional(row, "device")?.map(DeviceId),
        topic: row.get("topic")?,
        kind: row.get("kind")?,
        args: named(row, "args", |text| serde_json::from_str(text).ok())?,
    })
}

fn unsigned(row: &Row<'_>, column: &str) -> rusqlite::Result<u64> {
    row.get::<_, i64>(column).map(i64::cast_unsigned)
}

fn optional(row: &Row<'_>, column: &str) -> rusqlite::Result<Option<u64>> {
    Ok(row.get::<_, Option<i64>>(column)?.map(i64::cast_unsigned))
}

/// A column whose text stands for something.
fn named<T>(row: &Row<'_>, column: &str, read: impl FnOnce(&str) -> Option<T>) -> rusqlite::Result<T> {
    let text: String = row.get(column)?;
    read(&text).ok_or_else(|| {
        let index = row.as_ref().column_index(column).unwrap_or(usize::MAX);
        rusqlite::Error::FromSqlConversionFailure(
            index,
            Type::Text,
            Box::new(Unreadable { column: column.to_owned(), text }),
        )
    })
}

/// A column holds what no version of the switch has written.
#[derive(Debug)]
struct Unreadable {
    column: String,
    text: String,
}

impl fmt::Display for Unreadable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "column {} holds {:?}", self.column, self.text)
    }
}

impl std::error::Error for Unreadable {}
