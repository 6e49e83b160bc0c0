// The syntax tree of a template. Immutable once parsed.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "rollout/tokenizer/jinja/value.h"

namespace jigsaw::jinja {

struct Expression {
  enum class Kind {
    kLiteral,      // literal
    kName,         // text
    kList,         // children
    kDict,         // children: key, value, key, value..
    kAttribute,    // children[0].text
    kSubscript,    // children[0][children[1]]
    kSlice,        // children[0][children[1]:children[2]:children[3]], null where left out
    kCall,         // children[0](children[1..], keywords)
    kFilter,       // children[0] | text(children[1..], keywords)
    kTest,         // children[0] is text(children[1..])
    kNegate,       // -children[0]
    kNot,          // not children[0]
    kAnd,          // children[0] and children[1]
    kOr,           // children[0] or children[1]
    kCompare,      // children[0] operators[0] children[1] operators[1] ..
    kBinary,       // children[0] text children[1]
    kConditional,  // children[1] if children[0] else children[2], which may be null
  };
  Kind kind;
  int line = 0;
  std::string text = "";
  Value literal = {};
  std::vector<std::unique_ptr<Expression>> children = {};
  std::vector<std::pair<std::string, std::unique_ptr<Expression>>> keywords = {};
  std::vector<std::string> operators = {};
};
using ExpressionPtr = std::unique_ptr<Expression>;

struct Statement {
  enum class Kind {
    kText,     // text
    kOutput,   // {{ expression }}
    kIf,       // expression, body, otherwise
    kFor,      // for targets in expression if condition: body, else otherwise
    kSet,      // targets = expression; or targets[0].text = expression
    kSetBody,  // targets[0] = what body prints
    kBreak,
    kContinue,
  };
  Kind kind;
  int line = 0;
  std::string text = "";
  std::vector<std::string> targets = {};
  ExpressionPtr expression = nullptr, condition = nullptr;
  std::vector<Statement> body = {}, otherwise = {};
};
using Block = std::vector<Statement>;

}  // namespace jigsaw::jinja
