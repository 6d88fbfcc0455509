import { utf8 } from '../../bytes.ts';
import { digestOf } from '../../crypto/identity.ts';
import { salted, saltedTokens } from '../evidence/salted.ts';
import { count, demand, type CheckReceipt } from './check.ts';

/** The answer at hand is the one that the receipt is about. */
export const checkAnswer: CheckReceipt = ({ statement, holdings: { answer } }) => {
  const subject = statement.subject[0]!;
  demand(subject.name === 'answer', 'the receipt is about something else than an answer');
  if (answer === undefined) return { notChecked: `no answer was given; it must have SHA-256 ${subject.digest.sha256}` };
  const bytes = utf8(answer);
  demand(digestOf(bytes) === subject.digest.sha256, 'this is not the answer that the receipt is about');
  return `the ${count(bytes.length, 'byte')} of the answer are those the receipt is about`;
};

/** The prompt at hand is the one that was asked; only whoever has the salt can tell. */
export const checkPrompt: CheckReceipt = ({ predicate, holdings: { prompt, salt } }) => {
  if (prompt === undefined) return { notChecked: 'no prompt was given' };
  const claimed = predicate.request.prompt;
  if (claimed === null) return { notChecked: 'the prompt came as token ids, the receipt has no text of it' };
  if (salt === undefined) return { notChecked: 'the prompt can only be compared with the salt' };
  demand(salted(salt, utf8(prompt)) === claimed.sha256, 'this prompt, with this salt, is not the one that was asked');
  return 'the prompt is the one that was asked';
};

/** The tokens at hand are those of the receipt, and those that the first stage signed that it was fed. */
export const checkTokens: CheckReceipt = ({ predicate, signers, holdings: { tokens, salt } }) => {
  const { prompt, answer, sha256 } = predicate.request.tokens;
  const isFed = [0, 1].includes(prompt + answer - predicate.positions);
  demand(isFed, `${prompt} + ${answer} tokens are not what ${predicate.positions} positions are made from`);
  if (tokens === undefined || salt === undefined) {
    return { notChecked: 'without the tokens and the salt nobody can tell which they were' };
  }
  demand(tokens.length === prompt + answer, `${tokens.length} tokens where the receipt has ${prompt + answer}`);
  demand(saltedTokens(salt, tokens) === sha256, 'these tokens, with this salt, are not those of the receipt');
  const fed = saltedTokens(salt, tokens.slice(0, predicate.positions));
  const first = signers.filter(({ stage }) => stage === 0);
  for (const { replica, attestation } of first) {
    const isFedThese = attestation.predicate.input.sha256 === fed;
    demand(isFedThese, `${replica.id} signed that it was fed other tokens`);
  }
  // The hash alone is the requester's: nobody else has said that anything was run.
  if (first.length === 0) {
    return { notChecked: 'these are the tokens of the receipt, but nobody of the first stage signed what it was fed' };
  }
  const by = `as ${count(first.length, 'key')} of the first stage signed`;
  return `${prompt} tokens of prompt and ${answer} of answer are those that were run, ${by}`;
};
