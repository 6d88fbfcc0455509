/** Words as GPT-2 cuts them: contractions, then letters, numbers or other signs with the space before them, then spaces. */
const GPT2_WORDS = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

interface Step {
  readonly [key: string]: unknown;
}

/**
 * A pre-tokenizer that the library cuts by as the reference (Rust's tokenizers) does. In JavaScript its `Digits` means 0 to 9
 * and not every number, and the spaces of `ByteLevel` are those of JavaScript, with U+FEFF among them and U+0085 not. In
 * the expressions of `Split` the library means what the reference does, so both are written as such.
 */
export function asReferenceCuts(preTokenizer: unknown): unknown {
  if (typeof preTokenizer !== 'object' || preTokenizer === null) return preTokenizer;
  const step = preTokenizer as Step;
  const { type, pretokenizers } = step;
  if (type === 'Sequence' && Array.isArray(pretokenizers)) {
    return { ...step, pretokenizers: pretokenizers.map((each) => asReferenceCuts(each)) };
  }
  if (type === 'Digits') return split(step['individual_digits'] === true ? '\\p{N}' : '\\p{N}+');
  // A space that is put before the text has to be there when it is cut.
  const isCutting = type === 'ByteLevel' && step['use_regex'] !== false && step['add_prefix_space'] === false;
  return isCutting ? { type: 'Sequence', pretokenizers: [split(GPT2_WORDS), { ...step, use_regex: false }] } : step;
}

function split(regex: string): Step {
  return { type: 'Split', pattern: { Regex: regex }, behavior: 'Isolated', invert: false };
}
