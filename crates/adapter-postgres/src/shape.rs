//! What a table looks like, and how it is therefore read.

use crate::{Config, verdict};
use ports::outbox::Error;
use tokio_postgres::{Client, Row};

const COLUMNS: [&str; 5] = ["id", "aggregatetype", "aggregateid", "type", "payload"];

/// Names and types of the columns of a table that may not be there.
const LOOK: &str = "SELECT class.oid, class.relkind::text, attribute.attname::text, \
                    pg_catalog.format_type(attribute.atttypid, attribute.atttypmod) \
                    FROM pg_catalog.pg_class class JOIN pg_catalog.pg_attribute attribute ON attribute.attrelid = class.oid \
                    WHERE class.oid = pg_catalog.to_regclass($1::text) AND attribute.attnum > 0 AND NOT attribute.attisdropped";

/// How a table is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The table, as the server counts them.
    pub(crate) oid: u32,
    pub(crate) fetch: String,
    pub(crate) delete: String,
}

/// Looks at the table.
pub(crate) async fn look(config: &Config, client: &Client) -> Result<Shape, Error> {
    let rows = client.query(LOOK, &[&config.quoted_table()]).await;
    let rows = rows.map_err(|cause| verdict::error(config, cause))?;
    let columns = rows.iter().map(column).collect::<Result<Vec<_>, _>>();
    shape(config, &columns.map_err(|cause| verdict::error(config, cause))?)
}

struct Column {
    oid: u32,
    kind: String,
    name: String,
    of_type: String,
}

fn column(row: &Row) -> Result<Column, tokio_postgres::Error> {
    let (oid, kind) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Column { oid, kind, name: row.try_get(2)?, of_type: row.try_get(3)? })
}

fn shape(config: &Config, columns: &[Column]) -> Result<Shape, Error> {
    let missing = |problem: &str| Err(verdict::missing(config, problem));
    let Some(Column { oid, kind, .. }) = columns.first() else {
        return missing("there is no such table");
    };
    if kind != "r" && kind != "p" {
        return missing("it is no table: such rows have no order and cannot be deleted");
    }
    let find = |name: &str| columns.iter().find(|column| column.name == name);
    let absent: Vec<_> = COLUMNS.iter().filter(|name| find(name).is_none()).collect();
    let (Some(id), Some(payload), true) = (find("id"), find("payload"), absent.is_empty()) else {
        let absent: Vec<_> = absent.iter().map(|name| format!("`{name}`")).collect();
        return missing(&format!("it has no column {}", absent.join(", ")));
    };
    let payload = match payload.of_type.as_str() {
        "bytea" => "payload",
        _ => "pg_catalog.convert_to(payload::text, 'UTF8')",
    };
    let order = match id.of_type.as_str() {
        "smallint" | "integer" | "bigint" => "id",
        // Transaction numbers wrap around, their age does not; the command's number is that within the transaction.
        _ => "pg_catalog.age(xmin) DESC, cmin::text::bigint, ctid",
    };
    let table = config.quoted_table();
    let text = |name| format!("coalesce({name}::text, '')");
    let texts = [text("aggregatetype"), text("aggregateid"), text("\"type\"")].join(", ");
    Ok(Shape {
        oid: *oid,
        fetch: format!(
            "SELECT id::text, {texts}, {payload} FROM {table} ORDER BY {order} LIMIT $1::bigint"
        ),
        // The texts become ids again, so that the index on them is used.
        delete: format!("DELETE FROM {table} WHERE id = ANY($1::text[]::{}[])", id.of_type),
    })
}
