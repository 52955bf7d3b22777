// SPDX-License-Identifier: Apache-2.0
// What libpq 15 really says, as reasons. Written down from a server 15 with PQERRORS_VERBOSE.
#include "client/postgres_error.h"

#include <gtest/gtest.h>

#include <ostream>
#include <string>

namespace lagwatch {
namespace {

const std::string kTcp = "connection to server at \"127.0.0.1\", port 5432 failed: ";
const std::string kSocket =
    "connection to server on socket \"/run/postgresql/.s.PGSQL.5432\" failed: ";

struct Case {
  std::string name;
  std::string message;
  Reason reason;
  std::string shown;  // empty: the first line
  std::string fix;    // a part of it; "-": there is none
};
void PrintTo(const Case& one, std::ostream* out) { *out << one.name; }

const Case kCases[] = {
    {"WrongPassword",
     kTcp + "FATAL:  28P01: password authentication failed for user \"mon\"\n"
            "LOCATION:  auth_failed, auth.c:334\n",
     Reason::kAuth, "", "check user and password_file"},
    {"NoPassword", kTcp + "fe_sendauth: no password supplied\n", Reason::kAuth, "",
     "set password_file"},
    {"NoHbaLine",
     kTcp + "FATAL:  28000: no pg_hba.conf entry for host \"127.0.0.1\", user \"other\", database "
            "\"postgres\", no encryption\nLOCATION:  ClientAuthentication, auth.c:544\n",
     Reason::kAuth, "", "pg_hba.conf"},
    {"RejectedByHba",
     kTcp + "FATAL:  28000: pg_hba.conf rejects connection for host \"127.0.0.1\", user \"mon\", "
            "database \"postgres\", no encryption\nLOCATION:  ClientAuthentication, auth.c:476\n",
     Reason::kAuth, "", "pg_hba.conf"},
    {"PeerIsAnother",
     kSocket + "FATAL:  28000: Peer authentication failed for user \"mon\"\n"
               "LOCATION:  auth_failed, auth.c:334\n",
     Reason::kAuth, "", ""},
    {"RoleMissing",
     kSocket + "FATAL:  28000: role \"mon\" does not exist\n"
               "LOCATION:  InitializeSessionUserId, miscinit.c:800\n",
     Reason::kAuth, "", "CREATE ROLE lagwatch LOGIN"},
    {"DatabaseMissing",
     kSocket + "FATAL:  3D000: database \"nope\" does not exist\n"
               "LOCATION:  InitPostgres, postinit.c:948\n",
     Reason::kProtocol, "", "dbname=postgres"},
    {"TooManyClients",
     kSocket + "FATAL:  53300: sorry, too many clients already\n"
               "LOCATION:  InitProcess, proc.c:357\n",
     Reason::kTooManyConnections, "", "max_connections"},
    {"SlotsForSuperusersLeft",
     kTcp + "FATAL:  53300: remaining connection slots are reserved for non-replication superuser "
            "connections\nLOCATION:  InitPostgres, postinit.c:867\n",
     Reason::kTooManyConnections, "", "max_connections"},
    {"LimitOfTheRole",
     kTcp + "FATAL:  53300: too many connections for role \"lim\"\n"
            "LOCATION:  InitializeSessionUserId, miscinit.c:842\n",
     Reason::kTooManyConnections, "", "pg_stat_activity"},
    {"StartingUp",
     kSocket + "FATAL:  57P03: the database system is starting up\n"
               "LOCATION:  ProcessStartupPacket, postmaster.c:2400\n",
     Reason::kStartingUp, "", "-"},
    {"ShutDownByAdministrator",
     kTcp + "FATAL:  57P01: terminating connection due to administrator command\n"
            "LOCATION:  ProcessInterrupts, postgres.c:3200\n",
     Reason::kReset, "", "-"},
    {"UnknownSettingInOptions",
     kTcp + "FATAL:  42704: unrecognized configuration parameter \"nosuch\"\n"
            "LOCATION:  find_option, guc.c:5734\n",
     Reason::kUnsupported, "", "options"},
    {"PoolerRefusesOptions",
     kTcp + "FATAL:  08P01: unsupported startup parameter in options: statement_timeout\n",
     Reason::kUnsupported, "", "pooler"},
    {"WrongValueInOptions",
     kTcp + "FATAL:  22023: invalid value for parameter \"work_mem\": \"foo\"\n", Reason::kProtocol,
     "", ""},
    {"Refused",
     kTcp + "Connection refused\n\tIs the server running on that host and accepting TCP/IP "
            "connections?\n",
     Reason::kRefused, "", "host and port"},
    {"SocketMissing",
     kSocket + "No such file or directory\n\tIs the server running locally and accepting "
               "connections on that socket?\n",
     Reason::kRefused, "", "start the server"},
    {"SocketDenied",
     kSocket + "Permission denied\n\tIs the server running locally and accepting connections on "
               "that socket?\n",
     Reason::kPermission, "", "unix_socket_permissions"},
    {"BacklogFull", kSocket + "Resource temporarily unavailable\n", Reason::kHung, "", ""},
    {"NoRoute", kTcp + "No route to host\n", Reason::kConnectTimeout, "", "way to it"},
    {"NoTls", kTcp + "server does not support SSL, but SSL was required\n", Reason::kTls, "",
     "sslmode"},
    {"WrongCertificate", kTcp + "SSL error: certificate verify failed\n", Reason::kTls, "",
     "sslrootcert"},
    {"NameNotInCertificate",
     kTcp + "server certificate for \"db1\" does not match host name \"db2\"\n", Reason::kTls, "",
     "certificate"},
    {"ClosedAtOnce",
     kTcp + "server closed the connection unexpectedly\n\tThis probably means the server "
            "terminated abnormally\n\tbefore or while processing the request.\n",
     Reason::kReset, "", ""},
    {"NotPostgres", kTcp + "expected authentication request from server, but received H\n",
     Reason::kProtocol, "", ""},
    {"TlsConnectionLost", kTcp + "SSL SYSCALL error: EOF detected\n", Reason::kReset, "", ""},
    {"TlsConnectionReset", kTcp + "SSL SYSCALL error: Connection reset by peer\n", Reason::kReset,
     "", ""},
    {"ServerCannotFork",
     kTcp + "FATAL:  could not fork new process for connection: Resource temporarily "
            "unavailable\n",
     Reason::kTooManyConnections, "", ""},
    {"SecondAddressSaysMore",
     "connection to server at \"localhost\" (::1), port 5432 failed: Connection refused\n"
     "\tIs the server running on that host and accepting TCP/IP connections?\n" +
         kTcp +
         "FATAL:  28P01: password authentication failed for user \"mon\"\n"
         "LOCATION:  auth_failed, auth.c:334\n",
     Reason::kAuth, kTcp + "FATAL:  28P01: password authentication failed for user \"mon\"",
     "check user and password_file"},
    // The server's own language: the SQLSTATE tells.
    {"GermanPassword",
     kTcp + "FATAL:  28P01: Passwort-Authentifizierung für Benutzer »mon« fehlgeschlagen\n",
     Reason::kAuth, "", "check user and password_file"},
    {"GermanTooMany", kTcp + "FATAL:  53300: tut mir leid, schon zu viele Verbindungen\n",
     Reason::kTooManyConnections, "", ""},
    {"GermanHba",
     kTcp + "FATAL:  28000: kein pg_hba.conf-Eintrag für Host »127.0.0.1«, Benutzer »mon«, "
            "Datenbank »postgres«, keine Verschlüsselung\n",
     Reason::kAuth, "", ""},
    {"RussianSeverity", kTcp + "ВАЖНО:  57P03: система баз данных запускается\n",
     Reason::kStartingUp, "", ""},
    {"Empty", "", Reason::kProtocol, "", "-"},
};

class PostgresError : public testing::TestWithParam<Case> {};

TEST_P(PostgresError, HasAReasonAndAFix) {
  const Case& one = GetParam();
  const Error error = postgres_connect_error(one.message);
  EXPECT_EQ(reason_name(error.reason), reason_name(one.reason)) << error.message;
  const std::string first = one.message.substr(0, one.message.find('\n'));
  EXPECT_EQ(error.message, one.shown.empty() ? first : one.shown);
  if (one.fix == "-") {
    EXPECT_EQ(error.fix, "");
  } else {
    EXPECT_NE(error.fix.find(one.fix), std::string::npos) << error.fix;
  }
}

INSTANTIATE_TEST_SUITE_P(Real, PostgresError, testing::ValuesIn(kCases),
                         [](const testing::TestParamInfo<Case>& one) { return one.param.name; });

TEST(PostgresErrorState, IsFoundBetweenSeverityAndText) {
  EXPECT_EQ(sqlstate_in("FATAL:  28P01: x"), "28P01");
  EXPECT_EQ(sqlstate_in(kTcp + "FEHLER:  XX000: x"), "XX000");
  EXPECT_EQ(sqlstate_in("FATAL:  no state"), "");
  EXPECT_EQ(sqlstate_in("FATAL:  28p01: x"), "") << "lower case is none";
  EXPECT_EQ(sqlstate_in("FATAL: 28P01: x"), "") << "one blank";
  EXPECT_EQ(sqlstate_in("FATAL:  28P01"), "") << "cut off";
  EXPECT_EQ(sqlstate_in("FATAL:  "), "");
  EXPECT_EQ(sqlstate_in(""), "");
  EXPECT_EQ(sqlstate_in("HINT:  words, no state\nFATAL:  57P03: x"), "57P03");
}

TEST(PostgresErrorState, OfTheServerComesBeforeWhatNamesImitate) {
  const Error error = postgres_connect_error(
      kTcp + "FATAL:  3D000: database \"x:  28P01: Permission denied\" does not exist\n");
  EXPECT_EQ(error.reason, Reason::kProtocol);
}

TEST(PostgresErrorText, IsPrintableAndBounded) {
  const Error error = postgres_connect_error("FATAL:  XX000: \x1b[31mred\x07 \xff\xfe " +
                                             std::string(5000, 'x') + "\nsecond line\n");
  EXPECT_EQ(error.message.find('\x1b'), std::string::npos);
  EXPECT_EQ(error.message.find('\x07'), std::string::npos);
  EXPECT_EQ(error.message.find('\xff'), std::string::npos);
  EXPECT_EQ(error.message.find("second line"), std::string::npos);
  EXPECT_LT(error.message.size(), 500U);
}

TEST(PostgresErrorLost, IsResetUnlessTheServerSaidWhy) {
  const Error lost = postgres_lost_error("");
  EXPECT_EQ(lost.reason, Reason::kReset);
  EXPECT_EQ(lost.message, "the connection was lost");
  EXPECT_EQ(
      postgres_lost_error("could not receive data from server: Connection timed out\n").reason,
      Reason::kConnectTimeout);
  EXPECT_EQ(postgres_lost_error("SSL connection has been closed unexpectedly\n").reason,
            Reason::kReset);
  EXPECT_EQ(postgres_lost_error("SSL SYSCALL error: EOF detected\n").reason, Reason::kReset);
  EXPECT_EQ(postgres_lost_error("no connection to the server\n").reason, Reason::kReset);
  EXPECT_EQ(postgres_lost_error("FATAL:  57P01: terminating connection\n").reason, Reason::kReset);
  EXPECT_EQ(postgres_lost_error("FATAL:  57P03: the database system is shutting down\n").reason,
            Reason::kStartingUp);
}

}  // namespace
}  // namespace lagwatch
