# SPDX-License-Identifier: Apache-2.0
"""What a PostgreSQL of the lab is told, by version: settings, pg_hba.conf, recovery.conf, names of
functions, monitoring roles. Pure text.

`number` is Binaries.number: 903 for 9.3, 1000 for 10. Times in PostgreSQL's own notation."""

from .process import LabError


def default_settings(number):
    """Small, quick to notice that a peer is gone, without fsync; nothing writes WAL by itself."""
    settings = {
        "max_connections": 30,
        "shared_buffers": "16MB",
        "fsync": "off",
        "autovacuum": "off",
        "logging_collector": "off",
        "log_destination": "stderr",
        "log_line_prefix": "%m [%p] %u@%d ",
        "log_connections": "off",
        "unix_socket_permissions": "0777",
        "wal_level": "hot_standby" if number < 906 else "replica",
        "hot_standby": "on",
        "max_wal_senders": 8,
        "wal_sender_timeout": "5s",
        "wal_receiver_timeout": "5s",
        "wal_receiver_status_interval": "1s",
        "timezone": "UTC",
        "log_timezone": "UTC",
        "lc_messages": "C",
    }
    settings["wal_keep_segments" if number < 1300 else "wal_keep_size"] = (
        16 if number < 1300 else "256MB"
    )
    if number >= 904:
        settings["max_replication_slots"] = 8
        settings["dynamic_shared_memory_type"] = "mmap"  # in the data directory: goes with it
    if number >= 905:
        settings["wal_retrieve_retry_interval"] = "500ms"
    if number >= 1100:
        settings["jit"] = "off"
    return settings


def quoted(value):
    if isinstance(value, bool):
        return "on" if value else "off"
    return "'" + str(value).replace("'", "''") + "'"


def conf(settings):
    """Lines of postgresql.conf or recovery.conf."""
    return "".join(f"{name} = {quoted(value)}\n" for name, value in settings.items())


def hba(network, auth="trust"):
    """User postgres and replication need no password; all others are asked as `auth` says."""
    rows = [
        ("local", "all", "postgres", "", "trust"),
        ("local", "replication", "postgres", "", "trust"),
        ("host", "all", "postgres", network, "trust"),
        ("host", "replication", "postgres", network, "trust"),
        ("local", "all", "all", "", auth),
        ("host", "all", "all", network, auth),
        ("local", "replication", "all", "", auth),
        ("host", "replication", "all", network, auth),
    ]
    return "".join(" ".join(filter(None, row)) + "\n" for row in rows)


def recovery(number, conninfo, slot, trigger_file, extra):
    """What makes a standby: {setting: value} for recovery.conf (before 12) or postgresql.conf."""
    settings = {"primary_conninfo": conninfo, "recovery_target_timeline": "latest"}
    if slot:
        settings["primary_slot_name"] = slot
    if number < 1200:
        settings = {"standby_mode": "on", **settings, "trigger_file": trigger_file}
    elif number < 1600:
        settings["promote_trigger_file"] = trigger_file
    return {**settings, **extra}


def renamed(number, text):
    """Text with the function names of 10 and later, for `number`: pg_current_wal_lsn() is
    pg_current_xlog_location() before 10."""
    if number >= 1000:
        return text
    for new, old in (
        ("_wal_flush_lsn", "_xlog_flush_location"),
        ("_wal_insert_lsn", "_xlog_insert_location"),
        ("_wal_receive_lsn", "_xlog_receive_location"),
        ("_wal_replay_lsn", "_xlog_replay_location"),
        ("_current_wal_lsn", "_current_xlog_location"),
        ("pg_wal_replay_", "pg_xlog_replay_"),
        ("pg_is_wal_replay_paused", "pg_is_xlog_replay_paused"),
        ("pg_switch_wal", "pg_switch_xlog"),
        ("pg_walfile_name", "pg_xlogfile_name"),
        ("pg_wal_lsn_diff", "pg_xlog_location_diff"),
        ("write_lsn", "write_location"),
        ("sent_lsn", "sent_location"),
        ("flush_lsn", "flush_location"),
        ("replay_lsn", "replay_location"),
    ):
        text = text.replace(new, old)
    return text


WRAPPERS = """
CREATE SCHEMA IF NOT EXISTS monitoring;
GRANT USAGE ON SCHEMA monitoring TO {role};
CREATE OR REPLACE FUNCTION monitoring.stat_replication()
  RETURNS SETOF pg_catalog.pg_stat_replication
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT * FROM pg_catalog.pg_stat_replication';
CREATE OR REPLACE FUNCTION monitoring.archive_status(OUT ready bigint, OUT oldest_ready text,
    OUT oldest_ready_mtime timestamptz)
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog AS $$
  SELECT count(*), min(f), min((pg_stat_file('{wal}/archive_status/'||f)).modification)
  FROM pg_ls_dir('{wal}/archive_status') f WHERE f ~ '^[0-9A-F]{{24}}\\.ready$' $$;
REVOKE ALL ON FUNCTION monitoring.stat_replication(), monitoring.archive_status() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitoring.stat_replication(), monitoring.archive_status() TO {role};
"""
RECEIVER_WRAPPER = """
CREATE OR REPLACE FUNCTION monitoring.stat_wal_receiver()
  RETURNS SETOF pg_catalog.pg_stat_wal_receiver
  LANGUAGE sql SECURITY DEFINER SET search_path = pg_catalog
  AS 'SELECT * FROM pg_catalog.pg_stat_wal_receiver';
REVOKE ALL ON FUNCTION monitoring.stat_wal_receiver() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION monitoring.stat_wal_receiver() TO {role};
"""
ROLES = ("pg_monitor", "least", "bare", "superuser", "wrappers")


def role(number, name, kind, password=None, replication=False):
    """The statements that create a monitoring role; LabError when `number` has no such kind."""
    if kind not in ROLES:
        raise LabError(f"no kind of role {kind!r}; there is: {', '.join(ROLES)}")
    if kind in ("pg_monitor", "least") and number < 1000:
        raise LabError(f"{kind} needs PostgreSQL 10 or later")
    options = (" SUPERUSER" if kind == "superuser" else "") + (
        " REPLICATION" if replication else ""
    )
    if password is not None:
        options += f" PASSWORD {quoted(password)}"
    text = f"CREATE ROLE {name} LOGIN{options};\n"
    if kind == "pg_monitor":
        text += f"GRANT pg_monitor TO {name};\n"
    elif kind == "least":
        functions = "pg_ls_waldir()" + (", pg_ls_archive_statusdir()" if number >= 1200 else "")
        text += f"GRANT pg_read_all_stats TO {name};\n"
        text += f"GRANT EXECUTE ON FUNCTION {functions} TO {name};\n"
    elif kind == "wrappers":
        text += WRAPPERS.format(role=name, wal="pg_xlog" if number < 1000 else "pg_wal")
        if number >= 906:
            text += RECEIVER_WRAPPER.format(role=name)
    return text
