import { type Command, InvalidArgumentError, Option } from 'commander';
import { verifySignature } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import { evaluatePolicy, parsePolicy } from '#shared/log/policy.ts';
import type { RepeatReport } from '#shared/peer/replay/repeat-answer.ts';
import { parseReceiptFile, parseStatement } from '#shared/receipt/read-receipt.ts';
import { logPosition } from '#shared/receipt/verify/check-log.ts';
import { parseReceiptEntry, receiptEntry } from '#shared/receipt/receipt-entry.ts';
import type { CheckName, Replayed } from '#shared/receipt/verify/check.ts';
import { printable } from '#shared/receipt/verify/printable.ts';
import { routeOf } from '#shared/receipt/verify/take-apart.ts';
import { verifyGiven } from '#shared/receipt/verify/verify-given.ts';
import { verifyReceipt, type Verification, type VerifyReceipt } from '#shared/receipt/verify/verify-receipt.ts';
import { describeHistory, holdHead, unheld, type HistoryCheck, type LogHistory } from '../log/hold-log.ts';
import { memoryOption, NO_MEMORY, noRememberOption } from '../log/log-memory.ts';
import { httpUrl } from '../terminal/option-values.ts';
import { describeReplay } from './describe-replay.ts';
import { describeVerification } from './describe-verification.ts';
import { readRequest, type GivenFiles } from './read-given.ts';
import { replayFromFolder } from './replay-receipt.ts';
import { openLog, type OpenedLog } from './opened-log.ts';
import { knownKeys, missingOf, parseRequirements, type Requirement } from './requirements.ts';
import { checkDrawsInLog, loggedDrawOf, type DrawsCheck } from './draws-in-log.ts';
import { checkSessionInLog, type SessionCheck } from './session-in-log.ts';

interface VerifyOptions extends GivenFiles {
  readonly require: readonly Requirement[];
  readonly json?: true;
  readonly chunks: readonly number[] | 'all';
  readonly log?: URL;
  readonly memory: string | null;
  readonly remember: boolean;
}

export function defineVerify(command: Command): void {
  command
    .argument('<receipt>', 'receipt file')
    .option('--answer <file>', 'the answer, to compare with the receipt')
    .option('--prompt <file>', 'the prompt as the chat template wrote it; needs the salt')
    .option('--salt <hex>', 'the salt that the requester keeps')
    .option('--secrets <file>', 'salt, prompt and tokens in one file, as the requester keeps them')
    .option('--policy <file>', 'which log and which witnesses are trusted (C2SP tlog-policy)')
    .option('--manifest <file>', "the model's signed manifest, as GET /api/models/DIGEST gives it, or its payload")
    .option(
      '--require <list>',
      'what must have been shown, as answer,log,checked,server=KEY: see docs/receipts.md',
      parseRequirements,
      [],
    )
    .addOption(memoryOption())
    .addOption(noRememberOption())
    .addOption(
      new Option(
        '--log <url>',
        'ask this server, or a mirror of its log, whether the log begins with all that was seen',
      ).argParser(httpUrl),
    )
    .option('--json', 'print what was found as JSON')
    .option('--replay', 'compute the answer again, with the model in the data folder')
    .option('--data <folder>', 'data folder with the model', 'data')
    .option('--chunks <list>', 'chunks of 32 positions that a replay compares, as 0,2', chunkList, 'all')
    .action(runVerify);
}

async function runVerify(path: string, options: VerifyOptions): Promise<void> {
  const request = { ...(await readRequest(path, options)), known: knownKeys(options.require) };
  const { verification: alone, used } = await verifyGiven(request);
  const history = await historyOf(used, alone, options);
  const before = withHistory(alone, history, []);
  const replay = options.replay && before.isValid ? await replayOf(used, options) : null;
  const replayed = replay === null || replay instanceof ChorusError ? null : replay;
  const shown =
    replayed?.isValid === true ? await verifyReceipt({ ...used, replayed: shownBy(replayed, options) }) : alone;
  const verification = withHistory(shown, history, await searchLog(used, before, options));
  const isComparedWith = options.prompt === undefined || hasPassed(verification, 'prompt');
  const isLogAsked = options.log === undefined || hasPassed(verification, 'log-history');
  const missing = missingOf(options.require, verification, (check) => hasPassed(verification, check));
  const isShown = missing.length === 0 && isComparedWith && isLogAsked;
  const isValid = verification.isValid && isShown && (!options.replay || replayed?.isValid === true);
  if (options.json) {
    const failure = replay instanceof ChorusError ? { error: replay.message } : replay;
    const { kind, checkpoints, memory } = history;
    const found = { ...verification, isValid, missing, history: { kind, checkpoints, memory }, replay: failure };
    process.stdout.write(`${JSON.stringify(found, null, 2)}\n`);
  } else {
    const lines = [isValid ? 'No check failed.' : 'This receipt does not hold.'];
    if (verification.isValid && !isComparedWith) lines.push('The prompt that was given could not be compared.');
    if (verification.isValid && !isLogAsked) lines.push('The log that was to be asked has shown nothing.');
    if (verification.isValid && missing.length > 0) lines.push(`Required, and not shown: ${missing.join(', ')}.`);
    if (replay instanceof ChorusError) lines.push(printable(`Replay: ${replay.message}`));
    lines.push('', ...describeVerification(verification));
    const told = describeHistory(history);
    if (told.length > 0) lines.push('', ...told);
    if (replayed !== null) lines.push('', ...describeReplay(replayed));
    lines.push('', lastLine(verification, isValid));
    process.stdout.write(`${lines.join('\n')}\n`);
  }
  process.exitCode = isValid ? 0 : 1;
}

/** What a replay that differs in nothing has shown. */
function shownBy({ isSpelt, isPrompted }: RepeatReport, { chunks }: VerifyOptions): Replayed {
  return { isWhole: chunks === 'all', isSpelt, isPrompted };
}

/** The tier and whose word it is, for a reader of one line. */
function lastLine({ checks, standing }: WithHistory, isValid: boolean): string {
  if (isValid && standing !== null) return printable(standing.sentence);
  const failed = checks.filter(({ status }) => status === 'failed').map(({ name }) => name);
  const why = failed.length > 0 ? `failed: ${failed.join(', ')}` : 'what was asked for is not shown';
  return `Do not rely on this receipt; ${why}.`;
}

type LogCheck = SessionCheck | DrawsCheck;

/** A verification with what the log has shown before. */
type WithHistory = Omit<Verification, 'checks'> & {
  readonly checks: readonly (Verification['checks'][number] | HistoryCheck | LogCheck)[];
};

function withHistory(verification: Verification, { check }: LogHistory, found: readonly LogCheck[]): WithHistory {
  const more = [check, ...found];
  const isValid = verification.isValid && more.every(({ status }) => status !== 'failed');
  return { ...verification, checks: [...verification.checks, ...more], isValid };
}

/** What the log that was asked has of the receipt's session and of its draw; nothing where none was, or where it is not the policy's. */
async function searchLog(
  { receipt, policy }: VerifyReceipt,
  verification: WithHistory,
  { log }: VerifyOptions,
): Promise<LogCheck[]> {
  if (log === undefined || policy === undefined || !hasPassed(verification, 'log-history')) return [];
  const file = parseReceiptFile(receipt);
  const { proof, note } = logPosition({ file })!;
  const verdict = await evaluatePolicy(
    { logs: parsePolicy(policy).logs, witnesses: [], quorum: null },
    note,
    verifySignature,
  );
  const { signal } = new AbortController();
  let opened: Promise<OpenedLog> | null = null;
  const open = (): Promise<OpenedLog> => (opened ??= openLog(verdict.log!.key, log, signal));
  const session = await checkSessionInLog(parseReceiptEntry(receiptEntry(file)), proof.index, open, signal);
  const route = hasPassed(verification, 'draw') ? routeOf(parseStatement(file).predicate) : null;
  const draw = route && loggedDrawOf(route);
  if (!draw || route.draw?.by !== 'roster') return [session];
  const between = { named: route.draw.request.checkpoint.size, index: proof.index };
  return [session, await checkDrawsInLog(draw, between, open, signal)];
}

/** The history of a receipt's log, if its checkpoint is by a log of the policy. */
async function historyOf(
  { receipt, policy }: VerifyReceipt,
  verification: Verification,
  { log, memory, remember }: VerifyOptions,
): Promise<LogHistory> {
  if (policy === undefined || !hasPassed(verification, 'log-signature')) {
    return unheld('no log of a policy is known to have signed a checkpoint for this');
  }
  if (log === undefined && !remember) return unheld('nothing is to be remembered');
  if (log === undefined && memory === null) return unheld(NO_MEMORY);
  const { proof, note, checkpoint } = logPosition({ file: parseReceiptFile(receipt) })!;
  const { logs } = parsePolicy(policy);
  const verdict = await evaluatePolicy({ logs, witnesses: [], quorum: null }, note, verifySignature);
  return holdHead({ ...checkpoint, note: proof.checkpoint }, verdict.log!.key, {
    memoryFolder: remember ? memory : null,
    logUrl: log ?? null,
    signal: new AbortController().signal,
  });
}

function hasPassed({ checks }: WithHistory, check: CheckName | 'log-history'): boolean {
  return checks.some(({ name, status }) => name === check && status === 'passed');
}

async function replayOf(
  request: VerifyReceipt,
  { data, chunks, json }: VerifyOptions,
): Promise<RepeatReport | ChorusError> {
  let shown = -1;
  try {
    if (request.salt === undefined) throw new ChorusError('bad-message', 'the salt is missing; a replay needs it');
    return await replayFromFolder({
      receipt: parseReceiptFile(request.receipt),
      dataFolder: data,
      salt: request.salt,
      tokens: request.tokens,
      prompt: request.prompt,
      pieces: request.pieces,
      answer: request.answer,
      chunks,
      signal: new AbortController().signal,
      onProgress: ({ stage, stages }) => {
        if (!json && stage !== shown) process.stderr.write(`computing stage ${stage + 1} of ${stages}\n`);
        shown = stage;
      },
    });
  } catch (error) {
    return toChorusError(error);
  }
}

function chunkList(text: string): readonly number[] | 'all' {
  if (text === 'all') return 'all';
  if (!/^\d{1,6}(,\d{1,6})*$/.test(text))
    throw new InvalidArgumentError('Expected numbers with commas between, or all.');
  return text.split(',').map(Number);
}
