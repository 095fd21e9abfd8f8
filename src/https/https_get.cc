// SPDX-License-Identifier: Apache-2.0
#include "src/https/https_get.h"

#include <curl/curl.h>

#include <algorithm>
#include <memory>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace forekey {
namespace {

struct Answer {
  std::string body;
  size_t max_size = 0;
  bool too_large = false;
  const std::atomic<bool>* stop = nullptr;
};

size_t TakeBody(char* data, size_t, size_t size, void* to) {
  Answer& answer = *static_cast<Answer*>(to);
  answer.too_large = answer.body.size() + size > answer.max_size;
  if (answer.too_large) return 0;
  answer.body.append(data, size);
  return size;
}

int AskStop(void* of, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return static_cast<Answer*>(of)->stop->load() ? 1 : 0;
}

// libcurl's global part, once for the process; made where threads may already run, which its
// documentation allows since 7.84 for builds such as Debian's.
bool CurlIsReady() {
  static const bool ready = curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
  return ready;
}

void SetOptions(CURL* curl, const HttpsGetOptions& options, Answer* answer) {
  curl_easy_setopt(curl, CURLOPT_URL, options.url.c_str());
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, options.redirects > 0 ? 1L : 0L);
  curl_easy_setopt(curl, CURLOPT_MAXREDIRS, static_cast<long>(options.redirects));
  curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https");
  curl_easy_setopt(curl, CURLOPT_PROXY, "");
  curl_easy_setopt(curl, CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_SSLVERSION, static_cast<long>(CURL_SSLVERSION_TLSv1_2));
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 1L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 2L);
  if (!options.ca_file.empty()) {
    curl_easy_setopt(curl, CURLOPT_CAINFO, options.ca_file.c_str());
    curl_easy_setopt(curl, CURLOPT_CAPATH, nullptr);
  }
  const long timeout_ms = static_cast<long>(absl::ToInt64Milliseconds(options.timeout));
  curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout_ms);
  curl_easy_setopt(curl, CURLOPT_MAXFILESIZE, static_cast<long>(options.max_size));
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, TakeBody);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, AskStop);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, answer);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "forekey");
}

// All of them, as one list (RFC 9110, section 5.2).
std::string CacheControlOf(CURL* curl) {
  std::string all;
  curl_header* header = nullptr;
  for (size_t i = 0;
       curl_easy_header(curl, "Cache-Control", i, CURLH_HEADER, -1, &header) == CURLHE_OK; ++i) {
    absl::StrAppend(&all, header->value, ",");
  }
  return all;
}

}  // namespace

std::optional<absl::Duration> MaxAgeOf(absl::string_view cache_control) {
  std::optional<absl::Duration> age;
  for (absl::string_view directive : absl::StrSplit(cache_control, ',')) {
    directive = absl::StripAsciiWhitespace(directive);
    if (absl::EqualsIgnoreCase(directive, "no-store") ||
        absl::EqualsIgnoreCase(directive, "no-cache")) {
      return absl::ZeroDuration();
    }
    uint32_t seconds = 0;
    if (absl::StartsWithIgnoreCase(directive, "max-age=") &&
        absl::SimpleAtoi(directive.substr(sizeof("max-age=") - 1), &seconds)) {
      age = std::min(age.value_or(absl::InfiniteDuration()), absl::Seconds(seconds));
    }
  }
  return age;
}

absl::StatusOr<HttpsAnswer> HttpsGet(const HttpsGetOptions& options,
                                     const std::atomic<bool>& stop) {
  const auto failed = [&](absl::string_view why) {
    return absl::UnavailableError(absl::StrCat("GET ", options.url, ": ", why));
  };
  if (!CurlIsReady()) return failed("libcurl can't be initialised");
  const std::unique_ptr<CURL, decltype(&curl_easy_cleanup)> curl(curl_easy_init(),
                                                                 curl_easy_cleanup);
  if (curl == nullptr) return failed("out of memory");
  Answer answer;
  answer.max_size = options.max_size;
  answer.stop = &stop;
  char detail[CURL_ERROR_SIZE] = {};
  curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail);
  SetOptions(curl.get(), options, &answer);
  const CURLcode result = curl_easy_perform(curl.get());
  if (answer.too_large || result == CURLE_FILESIZE_EXCEEDED) {
    return failed(absl::StrCat("the answer has more than ", options.max_size, " bytes"));
  }
  if (result != CURLE_OK) {
    return failed(detail[0] != '\0' ? detail : curl_easy_strerror(result));
  }
  long code = 0;
  curl_easy_getinfo(curl.get(), CURLINFO_RESPONSE_CODE, &code);
  if (code >= 300 && code < 400) {
    return failed(
        absl::StrCat("HTTP ", code, ": redirects are not followed, configure its target"));
  }
  if (code != 200) return failed(absl::StrCat("HTTP ", code));
  return HttpsAnswer{std::move(answer.body), MaxAgeOf(CacheControlOf(curl.get()))};
}

}  // namespace forekey
