#include "rollout/tokenizer/jinja/renderer.h"

#include <algorithm>

#include "rollout/tokenizer/jinja/text_operations.h"

namespace jigsaw::jinja {
namespace {

constexpr std::size_t kWorkMax = 256 << 20;
constexpr std::size_t kOutputBytesMax = 64 << 20;
constexpr std::size_t kStepWork = 64;  // about what a value occupies
constexpr int kDepthMax = 32;          // of lists in lists

Error at_line(const Error& error, int line) { return error.with_context("line " + std::to_string(line)); }

}  // namespace

Result<std::string> Renderer::run(const Block& block) {
  JIGSAW_ASSIGN_OR_RETURN([[maybe_unused]] const Flow flow, run_block(block));
  return std::move(out_);
}

Status Renderer::charge(std::size_t amount) {
  spent_ += amount;
  if (spent_ <= kWorkMax) return ok_status();
  return Error(ErrorCode::kResourceExhausted, "takes too much work to render");
}

Status Renderer::charge(const Value& value) {
  std::size_t amount = kStepWork;
  if (const std::string* text = value.string()) amount += text->size();
  if (const List* list = value.list()) amount += kStepWork * list->size();
  const bool is_large =
      value.depth() > kDepthMax || (value.string() != nullptr && value.string()->size() > kTextBytesMax);
  if (is_large) return Error(ErrorCode::kResourceExhausted, "makes too large a value");
  return charge(amount);
}

Status Renderer::print(std::string_view text) {
  if (out_.size() + text.size() > kOutputBytesMax) return Error(ErrorCode::kResourceExhausted, "prints too much");
  out_ += text;
  return ok_status();
}

Result<Renderer::Flow> Renderer::run_block(const Block& block) {
  for (const Statement& statement : block) {
    JIGSAW_RETURN_IF_ERROR(charge(kStepWork));
    JIGSAW_ASSIGN_OR_RETURN(const Flow flow, run_statement(statement));
    if (flow != Flow::kNext) return flow;
  }
  return Flow::kNext;
}

Result<Renderer::Flow> Renderer::run_statement(const Statement& statement) {
  switch (statement.kind) {
    case Statement::Kind::kText: JIGSAW_RETURN_IF_ERROR(print(statement.text)); return Flow::kNext;
    case Statement::Kind::kOutput: {
      JIGSAW_ASSIGN_OR_RETURN(const Value value, evaluate(*statement.expression));
      const auto text = to_text(value);
      if (!text) return at_line(text.error(), statement.line);
      JIGSAW_RETURN_IF_ERROR(print(*text));
      return Flow::kNext;
    }
    case Statement::Kind::kIf: {
      JIGSAW_ASSIGN_OR_RETURN(const Value condition, evaluate(*statement.expression));
      return run_block(condition.is_true() ? statement.body : statement.otherwise);
    }
    case Statement::Kind::kFor: return run_loop(statement);
    case Statement::Kind::kSet: {
      JIGSAW_ASSIGN_OR_RETURN(Value value, evaluate(*statement.expression));
      JIGSAW_RETURN_IF_ERROR(assign(statement, std::move(value)));
      return Flow::kNext;
    }
    case Statement::Kind::kSetBody: {
      std::string outer;
      std::swap(out_, outer);
      const auto flow = run_block(statement.body);
      std::swap(out_, outer);
      if (!flow) return flow.error();
      set(statement.targets[0], std::move(outer));
      return *flow;
    }
    case Statement::Kind::kBreak: return Flow::kBreak;
    case Statement::Kind::kContinue: return Flow::kContinue;
  }
  CHECK_FAILED("a kind of statement that does not exist");
}

Result<Renderer::Flow> Renderer::run_loop(const Statement& statement) {
  JIGSAW_ASSIGN_OR_RETURN(const Value iterable, evaluate(*statement.expression));
  auto items = iterate(iterable);
  if (!items) return at_line(items.error(), statement.line);
  if (statement.condition) {
    List chosen;
    for (const Value& item : *items) {
      scopes_.emplace_back();
      JIGSAW_RETURN_IF_ERROR(assign_names(statement, item));
      JIGSAW_ASSIGN_OR_RETURN(const Value condition, evaluate(*statement.condition));
      scopes_.pop_back();
      if (condition.is_true()) chosen.push_back(item);
    }
    *items = std::move(chosen);
  }
  if (items->empty()) return run_block(statement.otherwise);
  const auto size = static_cast<std::int64_t>(items->size());
  for (std::int64_t i = 0; i < size; ++i) {
    const auto neighbour = [&](std::int64_t k) {
      return k >= 0 && k < size ? (*items)[static_cast<std::size_t>(k)] : Value(Undefined{"a neighbour in the loop"});
    };
    scopes_.push_back({{"loop", Dict{{"index", i + 1},
                                     {"index0", i},
                                     {"revindex", size - i},
                                     {"revindex0", size - i - 1},
                                     {"first", i == 0},
                                     {"last", i + 1 == size},
                                     {"length", size},
                                     {"previtem", neighbour(i - 1)},
                                     {"nextitem", neighbour(i + 1)}}}});
    JIGSAW_RETURN_IF_ERROR(assign_names(statement, (*items)[static_cast<std::size_t>(i)]));
    JIGSAW_ASSIGN_OR_RETURN(const Flow flow, run_block(statement.body));
    scopes_.pop_back();
    if (flow == Flow::kBreak) break;
  }
  return Flow::kNext;
}

Status Renderer::assign(const Statement& statement, Value value) {
  if (statement.text.empty()) return assign_names(statement, std::move(value));
  const Value target = look_up(statement.targets[0]);
  if (target.name_space() == nullptr) {
    return at_line(Error(ErrorCode::kInvalidArgument, "'" + statement.targets[0] + "' is no namespace"),
                   statement.line);
  }
  Dict& attributes = namespaces_[target.name_space()->index];
  const auto found = std::find_if(attributes.begin(), attributes.end(),
                                  [&](const auto& entry) { return entry.first == statement.text; });
  if (found != attributes.end()) {
    found->second = std::move(value);
  } else {
    attributes.emplace_back(statement.text, std::move(value));
  }
  return ok_status();
}

Status Renderer::assign_names(const Statement& statement, Value value) {
  if (statement.targets.size() == 1) {
    set(statement.targets[0], std::move(value));
    return ok_status();
  }
  const List* parts = value.list();
  if (parts == nullptr || parts->size() != statement.targets.size()) {
    return at_line(Error(ErrorCode::kInvalidArgument, "cannot unpack " + std::string(value.type_name())),
                   statement.line);
  }
  for (std::size_t i = 0; i < parts->size(); ++i) set(statement.targets[i], (*parts)[i]);
  return ok_status();
}

void Renderer::set(const std::string& name, Value value) {
  Dict& scope = scopes_.back();
  const auto found = std::find_if(scope.begin(), scope.end(), [&](const auto& entry) { return entry.first == name; });
  if (found != scope.end()) {
    found->second = std::move(value);
  } else {
    scope.emplace_back(name, std::move(value));
  }
}

Value Renderer::look_up(const std::string& name) const {
  for (auto scope = scopes_.rbegin(); scope != scopes_.rend(); ++scope) {
    if (const Value* found = find(*scope, name)) return *found;
  }
  return Undefined{name};
}

}  // namespace jigsaw::jinja
