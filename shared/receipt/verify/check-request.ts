import { utf8 } from '../../bytes.ts';
import { digestOf } from '../../crypto/identity.ts';
import { MAX_POSITIONS } from '../../limits.ts';
import { promptBytes } from '../../text/prompt-bytes.ts';
import { textOf } from '../../text/prompt.ts';
import { salted, saltedTokens } from '../evidence/salted.ts';
import { count, demand, type CheckReceipt, type Subject } from './check.ts';

/** The answer at hand is the one that the receipt is about. */
export const checkAnswer: CheckReceipt = ({ statement, holdings: { answer } }) => {
  const subject = statement.subject[0]!;
  demand(subject.name === 'answer', 'the receipt is about something else than an answer');
  if (answer === undefined) return { notChecked: `no answer was given; it must have SHA-256 ${subject.digest.sha256}` };
  const bytes = utf8(answer);
  demand(digestOf(bytes) === subject.digest.sha256, 'this is not the answer that the receipt is about');
  return `the ${count(bytes.length, 'byte')} of the answer are those the receipt is about`;
};

/** The prompt at hand is the one that was asked; only whoever has the salt can tell. Its text alone does not tell its markers. */
export const checkPrompt: CheckReceipt = ({ predicate, holdings: { prompt, pieces, salt } }) => {
  if (prompt === undefined && pieces === undefined) return { notChecked: 'no prompt was given' };
  const claimed = predicate.request.prompt;
  if (claimed === null) return { notChecked: 'the prompt came as token ids, the receipt has no text of it' };
  if (salt === undefined) return { notChecked: 'the prompt can only be compared with the salt' };
  const wrong = 'this prompt, with this salt, is not the one that was asked';
  const whole = prompt ?? textOf(pieces!);
  // Version 1 has the hash of the text alone.
  const { text = claimed.sha256 } = claimed;
  demand(salted(salt, utf8(whole)) === text, wrong);
  if (claimed.text === undefined || pieces === undefined) {
    return 'the text is that of the prompt that was asked; which of its markers were markers, only its pieces tell';
  }
  demand(textOf(pieces) === whole && salted(salt, promptBytes(pieces)) === claimed.sha256, wrong);
  return 'the prompt is the one that was asked, piece by piece';
};

/** The tokens at hand are those of the receipt, and those that the first stage signed that it was fed. */
export const checkTokens: CheckReceipt = (subject) => {
  const {
    predicate,
    signers,
    holdings: { tokens, salt },
  } = subject;
  const { prompt, answer, sha256 } = predicate.request.tokens;
  const isFed = [0, 1].includes(prompt + answer - predicate.positions);
  demand(isFed, `${prompt} + ${answer} tokens are not what ${predicate.positions} positions are made from`);
  checkFed(subject);
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

/** The digest of the tokens that were fed is that of the first stage's input. */
function checkFed({ predicate, signers }: Subject): void {
  const { prompt, answer, fed, sha256 } = predicate.request.tokens;
  const isAll = prompt + answer === predicate.positions;
  if (fed !== undefined && isAll) demand(fed === sha256, 'all tokens were fed, and their digests differ');
  const said = fed ?? (isAll ? sha256 : null);
  for (const { stage, replica, attestation } of signers) {
    const isSame = stage > 0 || said === null || attestation.predicate.input.sha256 === said;
    demand(isSame, `${replica.id} signed that it was fed other tokens`);
  }
}

/** What is said of the request can be: sampling within its range, no more tokens than were asked for, and a seed where there was a check. */
export const checkAsked: CheckReceipt = ({ predicate }) => {
  const { tokens, sampling, seedCommitment } = predicate.request;
  const { temperature, topP, seed, maxNewTokens } = sampling;
  demand(temperature >= 0 && temperature <= 2, `there is no temperature ${temperature}; it is 0 to 2`);
  demand(topP > 0 && topP <= 1, `there is no top-p ${topP}; it is above 0 and at most 1`);
  demand(Number.isSafeInteger(seed), 'the seed is no whole number that can be told from its neighbours');
  const most = Math.min(MAX_POSITIONS, maxNewTokens);
  demand(
    maxNewTokens >= 1 && tokens.answer <= most,
    `${tokens.answer} tokens are more than the ${maxNewTokens} asked for`,
  );
  const isCompared = predicate.spans.some(({ stages }) => stages.some(({ findings }) => findings.length > 0));
  demand(!isCompared || seedCommitment !== null, 'work was compared, and no seed was committed to');
  return `at most ${maxNewTokens} tokens, temperature ${temperature}, top-p ${topP}`;
};
