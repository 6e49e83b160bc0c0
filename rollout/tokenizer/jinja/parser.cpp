#include "rollout/tokenizer/jinja/parser.h"

#include <algorithm>
#include <initializer_list>

#include "rollout/tokenizer/jinja/expression_parser.h"

namespace jigsaw::jinja {
namespace {

using Kind = Statement::Kind;

constexpr int kNestingMax = 50;

class Parser {
 public:
  explicit Parser(std::vector<Token> tokens) : cursor_(std::move(tokens)), expressions_(cursor_) {}

  Result<Block> run() {
    JIGSAW_ASSIGN_OR_RETURN(Block block, statements({}));
    if (!cursor_.at(Token::Kind::kEnd)) return cursor_.error("an unexpected tag");
    return block;
  }

 private:
  // Up to a tag that begins with one of `ends`, which is left to the caller, with its {% taken.
  Result<Block> statements(std::initializer_list<std::string_view> ends) {
    if (++depth_ > kNestingMax) return cursor_.error("nested too deep", ErrorCode::kUnsupported);
    Block block;
    while (!cursor_.at(Token::Kind::kEnd)) {
      Statement statement{.kind = Kind::kText, .line = cursor_.peek().line};
      const Token token = cursor_.take();
      if (token.kind == Token::Kind::kText) {
        statement.text = token.text;
      } else if (token.kind == Token::Kind::kOutputBegin) {
        statement.kind = Kind::kOutput;
        JIGSAW_ASSIGN_OR_RETURN(statement.expression, expressions_.tuple(/*with_conditional=*/true));
        JIGSAW_RETURN_IF_ERROR(cursor_.expect(Token::Kind::kOutputEnd, "'}}'"));
      } else {
        const std::string name = cursor_.peek().text;
        if (std::find(ends.begin(), ends.end(), name) != ends.end()) break;
        if (name == "generation" || name == "endgeneration") {  // only marks what the assistant says
          cursor_.take();
          JIGSAW_RETURN_IF_ERROR(end_of_tag());
          continue;
        }
        JIGSAW_RETURN_IF_ERROR(tag(statement));
      }
      block.push_back(std::move(statement));
    }
    --depth_;
    return block;
  }

  Status end_of_tag() { return cursor_.expect(Token::Kind::kBlockEnd, "'%}'"); }

  Status expect_end_tag(std::string_view name) {
    if (!cursor_.take_name(name)) return cursor_.error("expected {% " + std::string(name) + " %}");
    return end_of_tag();
  }

  Status tag(Statement& statement) {
    if (!cursor_.at(Token::Kind::kName)) return cursor_.error("expected the name of a tag");
    const std::string name = cursor_.peek().text;
    const bool is_simple = name == "break" || name == "continue";
    if (!is_simple && name != "if" && name != "for" && name != "set") {
      return cursor_.error("the tag is not known here: if, for, set, break, continue are", ErrorCode::kUnsupported);
    }
    cursor_.take();
    if (name == "if") return if_tag(statement);
    if (name == "for") return for_tag(statement);
    if (name == "set") return set_tag(statement);
    if (num_loops_ == 0) return cursor_.error(name + " outside a loop");
    statement.kind = name == "break" ? Kind::kBreak : Kind::kContinue;
    return end_of_tag();
  }

  // Behind "if" or "elif".
  Status if_tag(Statement& statement) {
    statement.kind = Kind::kIf;
    JIGSAW_ASSIGN_OR_RETURN(statement.expression, expressions_.tuple(/*with_conditional=*/true));
    JIGSAW_RETURN_IF_ERROR(end_of_tag());
    JIGSAW_ASSIGN_OR_RETURN(statement.body, statements({"elif", "else", "endif"}));
    if (cursor_.at_name("elif")) {
      if (++depth_ > kNestingMax) return cursor_.error("nested too deep", ErrorCode::kUnsupported);
      Statement inner{.kind = Kind::kIf, .line = cursor_.peek().line};
      cursor_.take();
      JIGSAW_RETURN_IF_ERROR(if_tag(inner));  // takes the endif
      statement.otherwise.push_back(std::move(inner));
      --depth_;
      return ok_status();
    }
    if (cursor_.take_name("else")) {
      JIGSAW_RETURN_IF_ERROR(end_of_tag());
      JIGSAW_ASSIGN_OR_RETURN(statement.otherwise, statements({"endif"}));
    }
    return expect_end_tag("endif");
  }

  Status target_names(Statement& statement) {
    do {
      JIGSAW_ASSIGN_OR_RETURN(std::string name, cursor_.expect_name());
      statement.targets.push_back(std::move(name));
    } while (cursor_.take_operator(","));
    return ok_status();
  }

  Status for_tag(Statement& statement) {
    statement.kind = Kind::kFor;
    JIGSAW_RETURN_IF_ERROR(target_names(statement));
    if (!cursor_.take_name("in")) return cursor_.error("expected 'in'");
    JIGSAW_ASSIGN_OR_RETURN(statement.expression, expressions_.tuple(/*with_conditional=*/false));
    if (cursor_.take_name("if")) {
      JIGSAW_ASSIGN_OR_RETURN(statement.condition, expressions_.conditional());
    }
    if (cursor_.at_name("recursive")) return cursor_.error("a recursive loop", ErrorCode::kUnsupported);
    JIGSAW_RETURN_IF_ERROR(end_of_tag());
    ++num_loops_;
    JIGSAW_ASSIGN_OR_RETURN(statement.body, statements({"else", "endfor"}));
    --num_loops_;
    if (cursor_.take_name("else")) {
      JIGSAW_RETURN_IF_ERROR(end_of_tag());
      JIGSAW_ASSIGN_OR_RETURN(statement.otherwise, statements({"endfor"}));
    }
    return expect_end_tag("endfor");
  }

  Status set_tag(Statement& statement) {
    statement.kind = Kind::kSet;
    JIGSAW_RETURN_IF_ERROR(target_names(statement));
    const bool is_single = statement.targets.size() == 1;
    if (is_single && cursor_.take_operator(".")) {
      JIGSAW_ASSIGN_OR_RETURN(statement.text, cursor_.expect_name());
    }
    if (cursor_.take_operator("=")) {
      JIGSAW_ASSIGN_OR_RETURN(statement.expression, expressions_.tuple(/*with_conditional=*/true));
      return end_of_tag();
    }
    if (!is_single || !statement.text.empty()) return cursor_.error("expected '='");
    if (cursor_.at_operator("|")) return cursor_.error("a filter on a set block", ErrorCode::kUnsupported);
    statement.kind = Kind::kSetBody;
    JIGSAW_RETURN_IF_ERROR(end_of_tag());
    JIGSAW_ASSIGN_OR_RETURN(statement.body, statements({"endset"}));
    return expect_end_tag("endset");
  }

  TokenCursor cursor_;
  ExpressionParser expressions_;
  int depth_ = 0;
  int num_loops_ = 0;
};

}  // namespace

Result<Block> parse(std::vector<Token> tokens) { return Parser(std::move(tokens)).run(); }

}  // namespace jigsaw::jinja
