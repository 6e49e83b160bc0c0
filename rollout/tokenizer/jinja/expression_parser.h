// The half of the parser that reads expressions.
#pragma once

#include <string_view>
#include <vector>

#include "core/result.h"
#include "rollout/tokenizer/jinja/lexer.h"
#include "rollout/tokenizer/jinja/syntax.h"

namespace jigsaw::jinja {

// A place in the tokens of a template.
class TokenCursor {
 public:
  explicit TokenCursor(std::vector<Token> tokens) : tokens_(std::move(tokens)) {}

  const Token& peek() const { return tokens_[at_]; }
  const Token& peek_next() const { return tokens_[std::min(at_ + 1, tokens_.size() - 1)]; }
  bool at(Token::Kind kind) const { return peek().kind == kind; }
  bool at_operator(std::string_view text) const { return at(Token::Kind::kOperator) && peek().text == text; }
  bool at_name(std::string_view text) const { return at(Token::Kind::kName) && peek().text == text; }

  Token take();
  bool take_operator(std::string_view text);
  bool take_name(std::string_view text);
  Status expect_operator(std::string_view text);
  Status expect(Token::Kind kind, std::string_view what);
  Result<std::string> expect_name();
  Error error(std::string_view what, ErrorCode code = ErrorCode::kCorrupt) const;

 private:
  std::vector<Token> tokens_;  // ends with kEnd, which is never taken
  std::size_t at_ = 0;
};

class ExpressionParser {
 public:
  explicit ExpressionParser(TokenCursor& cursor) : cursor_(cursor) {}

  // An expression, possibly `a if b else c`.
  Result<ExpressionPtr> conditional();
  // The same without the conditional form.
  Result<ExpressionPtr> disjunction();
  // Expressions with commas between them make a list.
  Result<ExpressionPtr> tuple(bool with_conditional);

 private:
  using Level = Result<ExpressionPtr> (ExpressionParser::*)();

  Result<ExpressionPtr> conjunction();
  Result<ExpressionPtr> negation();
  Result<ExpressionPtr> comparison();
  Result<ExpressionPtr> sum();
  Result<ExpressionPtr> concatenation();
  Result<ExpressionPtr> product();
  Result<ExpressionPtr> unary();
  Result<ExpressionPtr> unary_without_filters();
  Result<ExpressionPtr> primary();
  Result<ExpressionPtr> postfixes(ExpressionPtr expression);
  Result<ExpressionPtr> filters(ExpressionPtr expression);
  Result<ExpressionPtr> subscript(ExpressionPtr object);
  Result<ExpressionPtr> test(ExpressionPtr value);
  Result<ExpressionPtr> list_items(std::string_view close);
  Result<ExpressionPtr> dict_items();
  Status arguments(Expression& call);
  Result<ExpressionPtr> left_associative(Level operand, std::vector<std::string_view> operators);

  ExpressionPtr make(Expression::Kind kind, std::string text = "") const;

  // Counts the recursion through brackets and unary operators.
  class Nesting;
  TokenCursor& cursor_;
  int depth_ = 0;
};

}  // namespace jigsaw::jinja
