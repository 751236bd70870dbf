// SPDX-License-Identifier: MIT
//
// Reads JSON of a known form, as the helper prints it: what isn't as expected is an error that names the key.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "tools/json.h"

namespace tapferry {

// `what`, here and below, is what errors call the text: "the helper's list of rules".
Result<JsonTree> parse_json(const std::string& json, std::string_view what);

// One object's members. It must not outlive the tree.
class JsonFields {
 public:
  static Result<JsonFields> of(JsonNode* node, const std::string& what);

  // The member `version` has to be this one.
  Status expect_version(int64_t version) const;

  Result<std::string> text(const char* key) const;
  Result<std::string> text_or_empty(const char* key) const;  // also of null, and where it is absent
  Result<int64_t> number(const char* key) const;
  Result<bool> boolean(const char* key) const;
  Result<std::vector<std::string>> texts(const char* key) const;
  Result<std::vector<JsonFields>> objects(const char* key) const;
  Result<std::optional<JsonFields>> object_or_none(const char* key) const;  // none: null or absent

 private:
  JsonFields(JsonObject* object, std::string what) : object_(object), what_(std::move(what)) {}

  Error flaw(const std::string& reason) const { return Error("read", what_, reason); }
  bool is_absent(const char* key) const;
  Result<JsonNode*> value(const char* key, GType type) const;
  Result<JsonArray*> array(const char* key) const;

  JsonObject* object_;
  std::string what_;
};

}  // namespace tapferry
