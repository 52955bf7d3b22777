// SPDX-License-Identifier: Apache-2.0
// Content negotiation with the headers that scrapers really send, and with broken ones.
#include "expose/negotiate.h"

#include <gtest/gtest.h>

#include <string>

namespace lagwatch {
namespace {

bool open_metrics(std::string_view accept) {
  return choose_exposition(accept) == Exposition::kOpenMetrics100;
}

TEST(ChooseExposition, PrometheusGetsOpenMetrics) {
  EXPECT_TRUE(open_metrics(  // 2.x
      "application/openmetrics-text;version=1.0.0,application/"
      "openmetrics-text;version=0.0.1;q=0.75,"
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"));
  EXPECT_TRUE(open_metrics(  // 2.x with native histograms
      "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited,"
      "application/openmetrics-text;version=1.0.0;q=0.8,"
      "application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/"
      "*;q=0.1"));
  EXPECT_TRUE(open_metrics(  // 3.x
      "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
      "application/openmetrics-text;version=0.0.1;q=0.5,"
      "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,"
      "*/*;q=0.2"));
}

TEST(ChooseExposition, TextIsTheDefault) {
  for (const char* accept :
       {"", "*/*", "text/plain", "text/html,application/xhtml+xml,*/*;q=0.8",
        "text/plain;version=0.0.4;q=1,*/*;q=0.1", "application/json", "application/*"}) {
    EXPECT_FALSE(open_metrics(accept)) << accept;
  }
}

TEST(ChooseExposition, VersionsThatWeHaveOrNone) {
  EXPECT_TRUE(open_metrics("application/openmetrics-text"));
  EXPECT_TRUE(open_metrics("application/openmetrics-text; version=1.0.0"));
  EXPECT_TRUE(open_metrics("application/openmetrics-text; version=\"0.0.1\""));
  EXPECT_FALSE(open_metrics("application/openmetrics-text; version=2.0.0"));
  EXPECT_FALSE(open_metrics("application/openmetrics-text; version="));
}

TEST(ChooseExposition, WeightsDecide) {
  EXPECT_FALSE(open_metrics("application/openmetrics-text;q=0"));
  EXPECT_FALSE(open_metrics("application/openmetrics-text;q=0.000, text/plain;q=0"));
  EXPECT_FALSE(open_metrics("application/openmetrics-text;q=0.5, text/plain"));
  EXPECT_FALSE(open_metrics("application/openmetrics-text;q=0.5, text/plain;q=0.501"));
  EXPECT_FALSE(open_metrics("application/openmetrics-text;q=0.5, */*"));
  EXPECT_FALSE(open_metrics("application/openmetrics-text;q=0.5, text/*;q=0.6"));
  EXPECT_TRUE(open_metrics("application/openmetrics-text;q=0.5, text/plain;q=0.5"));
  EXPECT_TRUE(open_metrics("text/plain;q=0.499, application/openmetrics-text;q=0.5"));
  EXPECT_TRUE(open_metrics("application/openmetrics-text;q=0.5, text/plain;version=1.0.0;q=0.9"))
      << "that text is not ours to answer";
  EXPECT_TRUE(open_metrics("application/openmetrics-text;q=0.001"));
}

TEST(ChooseExposition, CaseAndBlanksDoNotMatter) {
  EXPECT_TRUE(open_metrics("  Application/OpenMetrics-Text ;\tVERSION = 1.0.0 ; Q = 1.000 ,, "));
}

TEST(ChooseExposition, MalformedElementsCountAsNotSent) {
  for (const char* accept :
       {"application/openmetrics-text;q=2", "application/openmetrics-text;q=", ";;;,,,=;q",
        "application/openmetrics-text;q=1.001", "application/openmetrics-text;q=-1",
        "application/openmetrics-text;q=0.1234", "application/openmetrics-text;q=1e0",
        "\"application/openmetrics-text", "application/openmetrics-textual",
        "x\"application/openmetrics-text,application/openmetrics-text\\"}) {
    EXPECT_FALSE(open_metrics(accept)) << accept;
  }
  EXPECT_TRUE(open_metrics("application/openmetrics-text;q=0.5, text/plain;q=oops"));
  EXPECT_TRUE(open_metrics("a/b;c=\"x,text/plain;q=1,\", application/openmetrics-text;q=0.5"));
}

TEST(ChooseExposition, LongGarbageIsNoTrouble) {
  EXPECT_FALSE(open_metrics(std::string(100000, ',')));
  EXPECT_FALSE(open_metrics(std::string(100000, ';')));
  EXPECT_FALSE(open_metrics(std::string(100001, '"')));
  EXPECT_FALSE(open_metrics(std::string(100000, '\\')));
}

TEST(ContentType, NamesTheVersion) {
  EXPECT_EQ(content_type(Exposition::kText004), "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(content_type(Exposition::kOpenMetrics100),
            "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

TEST(AcceptsGzip, OnlyWhereItIsNamedOrAnyWillDo) {
  for (const char* yes : {"gzip", "GZip", "x-gzip", "deflate, gzip;q=1.0, *;q=0.5", "gzip;q=0.001",
                          "*", "br, *;q=0.1", " gzip ; q=1 ", "identity, gzip"}) {
    EXPECT_TRUE(accepts_gzip(yes)) << yes;
  }
  for (const char* no : {"", "identity", "gzip;q=0", "gzip;q=0.000", "*;q=0", "gzip;q=0, *",
                         "notgzip", "gzipped", "br;x=gzip", "deflate", "gzip;q=x", "g zip"}) {
    EXPECT_FALSE(accepts_gzip(no)) << no;
  }
}

}  // namespace
}  // namespace lagwatch
