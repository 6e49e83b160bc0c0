#include "rollout/tokenizer/jinja/expression_parser.h"

#include <algorithm>

namespace jigsaw::jinja {
namespace {

using Kind = Expression::Kind;

constexpr int kNestingMax = 100;

ExpressionPtr with_children(ExpressionPtr node, ExpressionPtr first, ExpressionPtr second = nullptr) {
  node->children.push_back(std::move(first));
  if (second) node->children.push_back(std::move(second));
  return node;
}

}  // namespace

Token TokenCursor::take() {
  Token token = tokens_[at_];
  if (token.kind != Token::Kind::kEnd) ++at_;
  return token;
}

bool TokenCursor::take_operator(std::string_view text) {
  if (!at_operator(text)) return false;
  ++at_;
  return true;
}

bool TokenCursor::take_name(std::string_view text) {
  if (!at_name(text)) return false;
  ++at_;
  return true;
}

Status TokenCursor::expect_operator(std::string_view text) {
  if (take_operator(text)) return ok_status();
  return error("expected '" + std::string(text) + "'");
}

Status TokenCursor::expect(Token::Kind kind, std::string_view what) {
  if (!at(kind)) return error("expected " + std::string(what));
  take();
  return ok_status();
}

Result<std::string> TokenCursor::expect_name() {
  if (!at(Token::Kind::kName)) return error("expected a name");
  return take().text;
}

Error TokenCursor::error(std::string_view what, ErrorCode code) const {
  const std::string near = peek().text.empty() ? "" : " near '" + peek().text.substr(0, 40) + "'";
  return Error(code, "line " + std::to_string(peek().line) + ": " + std::string(what) + near);
}

class ExpressionParser::Nesting {
 public:
  explicit Nesting(ExpressionParser& parser) : depth_(++parser.depth_), counter_(parser.depth_) {}
  ~Nesting() { --counter_; }
  bool too_deep() const { return depth_ > kNestingMax; }

 private:
  int depth_;
  int& counter_;
};

ExpressionPtr ExpressionParser::make(Kind kind, std::string text) const {
  auto node = std::make_unique<Expression>(Expression{.kind = kind});
  node->line = cursor_.peek().line;
  node->text = std::move(text);
  return node;
}

Result<ExpressionPtr> ExpressionParser::tuple(bool with_conditional) {
  const auto element = [&] { return with_conditional ? conditional() : disjunction(); };
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr first, element());
  if (!cursor_.at_operator(",")) return first;
  ExpressionPtr list = with_children(make(Kind::kList), std::move(first));
  while (cursor_.take_operator(",")) {
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr next, element());
    list->children.push_back(std::move(next));
  }
  return list;
}

Result<ExpressionPtr> ExpressionParser::conditional() {
  const Nesting nesting(*this);
  if (nesting.too_deep()) return cursor_.error("nested too deep", ErrorCode::kUnsupported);
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr value, disjunction());
  while (cursor_.at_name("if")) {
    ExpressionPtr node = make(Kind::kConditional);
    cursor_.take();
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr condition, disjunction());
    ExpressionPtr otherwise;
    if (cursor_.take_name("else")) {
      JIGSAW_ASSIGN_OR_RETURN(otherwise, conditional());
    }
    node->children.push_back(std::move(condition));
    node->children.push_back(std::move(value));
    node->children.push_back(std::move(otherwise));
    value = std::move(node);
  }
  return value;
}

Result<ExpressionPtr> ExpressionParser::disjunction() {
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr left, conjunction());
  while (cursor_.at_name("or")) {
    ExpressionPtr node = make(Kind::kOr);
    cursor_.take();
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr right, conjunction());
    left = with_children(std::move(node), std::move(left), std::move(right));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::conjunction() {
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr left, negation());
  while (cursor_.at_name("and")) {
    ExpressionPtr node = make(Kind::kAnd);
    cursor_.take();
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr right, negation());
    left = with_children(std::move(node), std::move(left), std::move(right));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::negation() {
  if (!cursor_.at_name("not")) return comparison();
  const Nesting nesting(*this);
  if (nesting.too_deep()) return cursor_.error("nested too deep", ErrorCode::kUnsupported);
  ExpressionPtr node = make(Kind::kNot);
  cursor_.take();
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr operand, negation());
  return with_children(std::move(node), std::move(operand));
}

Result<ExpressionPtr> ExpressionParser::comparison() {
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr first, sum());
  ExpressionPtr node;
  while (true) {
    std::string name;
    for (const std::string_view candidate : {"==", "!=", "<=", ">=", "<", ">"}) {
      if (cursor_.at_operator(candidate)) name = candidate;
    }
    if (cursor_.at_name("in")) name = "in";
    const Token& next = cursor_.peek_next();
    if (cursor_.at_name("not") && next.kind == Token::Kind::kName && next.text == "in") name = "not in";
    if (name.empty()) break;
    if (!node) node = with_children(make(Kind::kCompare), std::move(first));
    cursor_.take();
    if (name == "not in") cursor_.take();
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr operand, sum());
    node->operators.push_back(name);
    node->children.push_back(std::move(operand));
  }
  return node ? std::move(node) : std::move(first);
}

Result<ExpressionPtr> ExpressionParser::left_associative(Level operand, std::vector<std::string_view> operators) {
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr left, (this->*operand)());
  while (cursor_.at(Token::Kind::kOperator) &&
         std::find(operators.begin(), operators.end(), cursor_.peek().text) != operators.end()) {
    ExpressionPtr node = make(Kind::kBinary, cursor_.peek().text);
    cursor_.take();
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr right, (this->*operand)());
    left = with_children(std::move(node), std::move(left), std::move(right));
  }
  return left;
}

Result<ExpressionPtr> ExpressionParser::sum() { return left_associative(&ExpressionParser::concatenation, {"+", "-"}); }

Result<ExpressionPtr> ExpressionParser::concatenation() { return left_associative(&ExpressionParser::product, {"~"}); }

Result<ExpressionPtr> ExpressionParser::product() {
  return left_associative(&ExpressionParser::unary, {"*", "/", "//", "%"});
}

Result<ExpressionPtr> ExpressionParser::unary() {
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr operand, unary_without_filters());
  return filters(std::move(operand));
}

Result<ExpressionPtr> ExpressionParser::unary_without_filters() {
  const Nesting nesting(*this);
  if (nesting.too_deep()) return cursor_.error("nested too deep", ErrorCode::kUnsupported);
  if (cursor_.at_operator("-")) {
    ExpressionPtr node = make(Kind::kNegate);
    cursor_.take();
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr operand, unary_without_filters());
    return with_children(std::move(node), std::move(operand));
  }
  JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr value, primary());
  return postfixes(std::move(value));
}

Result<ExpressionPtr> ExpressionParser::primary() {
  ExpressionPtr node = make(Kind::kLiteral);
  const Token token = cursor_.take();
  switch (token.kind) {
    case Token::Kind::kInteger: node->literal = token.integer; return node;
    case Token::Kind::kString: {
      std::string text = token.text;
      while (cursor_.at(Token::Kind::kString)) text += cursor_.take().text;  // adjacent strings are one
      node->literal = std::move(text);
      return node;
    }
    case Token::Kind::kName:
      if (token.text == "true" || token.text == "True") {
        node->literal = true;
      } else if (token.text == "false" || token.text == "False") {
        node->literal = false;
      } else if (token.text == "none" || token.text == "None") {
        node->literal = None();
      } else {
        node->kind = Kind::kName;
        node->text = token.text;
      }
      return node;
    default: break;
  }
  if (token.text == "(" && token.kind == Token::Kind::kOperator) {
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr inner, tuple(/*with_conditional=*/true));
    JIGSAW_RETURN_IF_ERROR(cursor_.expect_operator(")"));
    return inner;
  }
  if (token.text == "[" && token.kind == Token::Kind::kOperator) return list_items("]");
  if (token.text == "{" && token.kind == Token::Kind::kOperator) return dict_items();
  return cursor_.error("expected an expression");
}

Result<ExpressionPtr> ExpressionParser::list_items(std::string_view close) {
  ExpressionPtr node = make(Kind::kList);
  while (!cursor_.take_operator(close)) {
    if (!node->children.empty()) {
      JIGSAW_RETURN_IF_ERROR(cursor_.expect_operator(","));
      if (cursor_.take_operator(close)) break;
    }
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr item, conditional());
    node->children.push_back(std::move(item));
  }
  return node;
}

Result<ExpressionPtr> ExpressionParser::dict_items() {
  ExpressionPtr node = make(Kind::kDict);
  while (!cursor_.take_operator("}")) {
    if (!node->children.empty()) {
      JIGSAW_RETURN_IF_ERROR(cursor_.expect_operator(","));
      if (cursor_.take_operator("}")) break;
    }
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr key, conditional());
    JIGSAW_RETURN_IF_ERROR(cursor_.expect_operator(":"));
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr value, conditional());
    node->children.push_back(std::move(key));
    node->children.push_back(std::move(value));
  }
  return node;
}

Result<ExpressionPtr> ExpressionParser::postfixes(ExpressionPtr expression) {
  while (true) {
    if (cursor_.at_operator(".")) {
      ExpressionPtr node = make(Kind::kAttribute);
      cursor_.take();
      JIGSAW_ASSIGN_OR_RETURN(node->text, cursor_.expect_name());
      expression = with_children(std::move(node), std::move(expression));
    } else if (cursor_.take_operator("[")) {
      JIGSAW_ASSIGN_OR_RETURN(expression, subscript(std::move(expression)));
    } else if (cursor_.at_operator("(")) {
      ExpressionPtr node = with_children(make(Kind::kCall), std::move(expression));
      JIGSAW_RETURN_IF_ERROR(arguments(*node));
      expression = std::move(node);
    } else {
      return expression;
    }
  }
}

// Behind the opening bracket: [index], or [start:stop:step] with any of them left out.
Result<ExpressionPtr> ExpressionParser::subscript(ExpressionPtr object) {
  ExpressionPtr node = with_children(make(Kind::kSubscript), std::move(object));
  std::vector<ExpressionPtr> parts(1);
  while (!cursor_.take_operator("]")) {
    if (cursor_.take_operator(":")) {
      node->kind = Kind::kSlice;
      parts.emplace_back();
      continue;
    }
    if (parts.back() || parts.size() > 3) return cursor_.error("expected ']'");
    JIGSAW_ASSIGN_OR_RETURN(parts.back(), conditional());
  }
  if (node->kind == Kind::kSubscript && !parts[0]) return cursor_.error("an empty subscript");
  if (parts.size() > 3) return cursor_.error("a slice of more than three parts");
  if (node->kind == Kind::kSlice) parts.resize(3);
  for (ExpressionPtr& part : parts) node->children.push_back(std::move(part));
  return node;
}

Status ExpressionParser::arguments(Expression& call) {
  JIGSAW_RETURN_IF_ERROR(cursor_.expect_operator("("));
  bool is_first = true;
  while (!cursor_.take_operator(")")) {
    if (!is_first) {
      JIGSAW_RETURN_IF_ERROR(cursor_.expect_operator(","));
      if (cursor_.take_operator(")")) break;
    }
    is_first = false;
    const Token& next = cursor_.peek_next();
    if (cursor_.at(Token::Kind::kName) && next.kind == Token::Kind::kOperator && next.text == "=") {
      std::string name = cursor_.take().text;
      cursor_.take();
      JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr value, conditional());
      call.keywords.emplace_back(std::move(name), std::move(value));
    } else {
      JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr value, conditional());
      call.children.push_back(std::move(value));
    }
  }
  return ok_status();
}

Result<ExpressionPtr> ExpressionParser::filters(ExpressionPtr expression) {
  while (true) {
    if (cursor_.take_operator("|")) {
      JIGSAW_ASSIGN_OR_RETURN(std::string name, cursor_.expect_name());
      ExpressionPtr node = with_children(make(Kind::kFilter, std::move(name)), std::move(expression));
      if (cursor_.at_operator("(")) JIGSAW_RETURN_IF_ERROR(arguments(*node));
      expression = std::move(node);
    } else if (cursor_.take_name("is")) {
      JIGSAW_ASSIGN_OR_RETURN(expression, test(std::move(expression)));
    } else {
      return expression;
    }
  }
}

// Behind "is": a name, then an argument in brackets or without.
Result<ExpressionPtr> ExpressionParser::test(ExpressionPtr value) {
  const bool negated = cursor_.take_name("not");
  JIGSAW_ASSIGN_OR_RETURN(std::string name, cursor_.expect_name());
  ExpressionPtr node = with_children(make(Kind::kTest, std::move(name)), std::move(value));
  if (cursor_.at_name("is")) return cursor_.error("tests in a row");
  const bool at_keyword = cursor_.at_name("else") || cursor_.at_name("or") || cursor_.at_name("and") ||
                          cursor_.at_name("if") || cursor_.at_name("in") || cursor_.at_name("not");
  if (cursor_.at_operator("(")) {
    JIGSAW_RETURN_IF_ERROR(arguments(*node));
  } else if ((cursor_.at(Token::Kind::kName) && !at_keyword) || cursor_.at(Token::Kind::kString) ||
             cursor_.at(Token::Kind::kInteger) || cursor_.at_operator("[") || cursor_.at_operator("{")) {
    const Nesting nesting(*this);
    if (nesting.too_deep()) return cursor_.error("nested too deep", ErrorCode::kUnsupported);
    JIGSAW_ASSIGN_OR_RETURN(ExpressionPtr argument, primary());
    JIGSAW_ASSIGN_OR_RETURN(argument, postfixes(std::move(argument)));
    node->children.push_back(std::move(argument));
  }
  if (!negated) return node;
  return with_children(make(Kind::kNot), std::move(node));
}

}  // namespace jigsaw::jinja
