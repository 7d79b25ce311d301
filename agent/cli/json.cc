#include "agent/cli/json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

namespace hapair::cli {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

// `index` counts within a repeated field; -1: the field is single.
Json value_of(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection* reflection = message.GetReflection();
  const bool many = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return many ? reflection->GetRepeatedInt32(message, field, index) : reflection->GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return many ? reflection->GetRepeatedInt64(message, field, index) : reflection->GetInt64(message, field);
    case FieldDescriptor::CPPTYPE_UINT32:
      return many ? reflection->GetRepeatedUInt32(message, field, index) : reflection->GetUInt32(message, field);
    case FieldDescriptor::CPPTYPE_UINT64:
      return many ? reflection->GetRepeatedUInt64(message, field, index) : reflection->GetUInt64(message, field);
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return many ? reflection->GetRepeatedDouble(message, field, index) : reflection->GetDouble(message, field);
    case FieldDescriptor::CPPTYPE_FLOAT:
      return many ? reflection->GetRepeatedFloat(message, field, index) : reflection->GetFloat(message, field);
    case FieldDescriptor::CPPTYPE_BOOL:
      return many ? reflection->GetRepeatedBool(message, field, index) : reflection->GetBool(message, field);
    case FieldDescriptor::CPPTYPE_STRING:
      return many ? reflection->GetRepeatedString(message, field, index) : reflection->GetString(message, field);
    case FieldDescriptor::CPPTYPE_ENUM:
      return (many ? reflection->GetRepeatedEnum(message, field, index) : reflection->GetEnum(message, field))->name();
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return json_of(many ? reflection->GetRepeatedMessage(message, field, index)
                          : reflection->GetMessage(message, field));
  }
  return nullptr;
}

}  // namespace

Json json_of(const Message& message) {
  Json out = Json::object();
  const auto* descriptor = message.GetDescriptor();
  for (int i = 0; i < descriptor->field_count(); ++i) {
    const FieldDescriptor* field = descriptor->field(i);
    Json& into = out[field->name()];
    if (field->is_repeated()) {
      into = Json::array();
      const int size = message.GetReflection()->FieldSize(message, field);
      for (int k = 0; k < size; ++k) into.push_back(value_of(message, field, k));
    } else if (!field->has_presence() || message.GetReflection()->HasField(message, field)) {
      into = value_of(message, field, -1);
    }
  }
  return out;
}

Json json_of(const control::v1::RecordEntry& record) {
  Json fields = Json::object();
  for (const auto& field : record.fields()) fields[field.name()] = field.value();
  return {{"when_ns", record.when_ns()}, {"wall_us", record.wall_us()}, {"severity", record.severity()},
          {"kind", record.kind()},       {"pool", record.pool()},       {"decision", record.decision()},
          {"text", record.text()},       {"fields", std::move(fields)}};
}

}  // namespace hapair::cli
