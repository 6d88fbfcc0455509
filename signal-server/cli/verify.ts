import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { fromBase64 } from '#shared/bytes.ts';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { Digest } from '#shared/ids.ts';
import { withoutMark } from '#shared/receipt/byte-order-mark.ts';
import type { CheckName } from '#shared/receipt/check.ts';
import { printable } from '#shared/receipt/printable.ts';
import { parseReceiptSecrets, parseSalt } from '#shared/receipt/receipt-secrets.ts';
import { parseReceiptFile, parseStatement } from '#shared/receipt/read-receipt.ts';
import { verifyGiven } from '#shared/receipt/verify-given.ts';
import type { Verification, VerifyReceipt } from '#shared/receipt/verify-receipt.ts';
import { envelopeSchema } from '#shared/session/route.ts';
import { describeReplay, describeVerification } from './describe-verification.ts';
import { readManifestBytes, replayFromFolder, type FolderReport } from './replay-receipt.ts';

interface VerifyOptions {
  readonly answer?: string;
  readonly prompt?: string;
  readonly salt?: string;
  readonly secrets?: string;
  readonly policy?: string;
  readonly manifest?: string;
  readonly require: readonly Requirable[];
  readonly json?: true;
  readonly replay?: true;
  readonly data: string;
  readonly chunks: readonly number[] | 'all';
}

/** What a script can ask for, and the checks that must have passed then: those that something can be missing for. */
const REQUIRABLE = {
  answer: ['answer'],
  prompt: ['prompt'],
  tokens: ['tokens'],
  model: ['model'],
  thresholds: ['thresholds'],
  log: ['log-entry', 'log-inclusion', 'log-signature'],
  witnesses: ['witnesses'],
} as const satisfies Record<string, readonly CheckName[]>;
type Requirable = keyof typeof REQUIRABLE;

export function addVerifyCommand(program: Command): void {
  program
    .command('verify')
    .description('verify a receipt without any network; succeeds only if nothing in it is wrong')
    .argument('<receipt>', 'receipt file')
    .option('--answer <file>', 'the answer, to compare with the receipt')
    .option('--prompt <file>', 'the prompt as the chat template wrote it; needs the salt')
    .option('--salt <hex>', 'the salt that the requester keeps')
    .option('--secrets <file>', 'salt, prompt and tokens in one file, as the requester keeps them')
    .option('--policy <file>', 'which log and which witnesses are trusted (C2SP tlog-policy)')
    .option('--manifest <file>', "the model's signed manifest, as GET /api/models/DIGEST gives it, or its payload")
    .option(
      '--require <list>',
      `what must have been checked, as answer,log: of ${Object.keys(REQUIRABLE).join(', ')}`,
      requirables,
      [],
    )
    .option('--json', 'print what was found as JSON')
    .option('--replay', 'compute the answer again, with the model in the data folder')
    .option('--data <folder>', 'data folder with the model', 'data')
    .option('--chunks <list>', 'chunks of 32 positions that a replay compares, as 0,2', chunkList, 'all')
    .action(runVerify);
}

async function runVerify(path: string, options: VerifyOptions): Promise<void> {
  const request = await readRequest(path, options);
  const { verification, used } = await verifyGiven(request);
  const replay = options.replay && verification.isValid ? await replayOf(used, options) : null;
  const replayed = replay === null || replay instanceof ChorusError ? null : replay;
  const isComparedWith = options.prompt === undefined || hasPassed(verification, 'prompt');
  const missing = options.require.filter((name) => !REQUIRABLE[name].every((check) => hasPassed(verification, check)));
  const isValid =
    verification.isValid && missing.length === 0 && isComparedWith && (!options.replay || replayed?.isValid === true);
  if (options.json) {
    const failure = replay instanceof ChorusError ? { error: replay.message } : replay;
    process.stdout.write(`${JSON.stringify({ ...verification, isValid, missing, replay: failure }, null, 2)}\n`);
  } else {
    const lines = describeVerification(verification);
    if (replay instanceof ChorusError) lines.push('', printable(`Replay: ${replay.message}`));
    if (replayed !== null) lines.push('', ...describeReplay(replayed));
    if (verification.isValid && !isComparedWith) lines.push('', 'The prompt that was given could not be compared.');
    if (verification.isValid && missing.length > 0) lines.push('', `Required, and not checked: ${missing.join(', ')}.`);
    lines.push('', isValid ? 'Nothing of this is wrong.' : 'This receipt does not hold.');
    process.stdout.write(`${lines.join('\n')}\n`);
  }
  process.exitCode = isValid ? 0 : 1;
}

function hasPassed({ checks }: Verification, check: CheckName): boolean {
  return checks.some(({ name, status }) => name === check && status === 'passed');
}

async function readRequest(path: string, options: VerifyOptions): Promise<VerifyReceipt> {
  const read = async (file: string | undefined) => (file === undefined ? undefined : await readText(file));
  const [answer, prompt, policy] = await Promise.all([options.answer, options.prompt, options.policy].map(read));
  const secrets =
    options.secrets === undefined ? null : parseReceiptSecrets(parseJson(await readText(options.secrets)));
  const salt = options.salt === undefined ? secrets?.salt : parseSalt(options.salt);
  const asked = prompt ?? secrets?.prompt ?? undefined;
  const receipt = parseJson(await readText(path));
  const manifest = await readManifest(receipt, options);
  return {
    receipt,
    verify,
    ...(answer !== undefined && { answer }),
    ...(policy !== undefined && { policy: withoutMark(policy) }),
    ...(manifest !== undefined && { manifest }),
    ...(asked !== undefined && { prompt: asked }),
    ...(salt !== undefined && { salt }),
    ...(secrets !== null && { tokens: secrets.tokens }),
  };
}

async function replayOf(
  request: VerifyReceipt,
  { data, chunks, json }: VerifyOptions,
): Promise<FolderReport | ChorusError> {
  try {
    if (request.salt === undefined) throw new ChorusError('bad-message', 'a replay needs the salt');
    return await replayFromFolder({
      receipt: parseReceiptFile(request.receipt),
      dataFolder: data,
      salt: request.salt,
      tokens: request.tokens,
      prompt: request.prompt,
      answer: request.answer,
      chunks,
      onProgress: (stage, stages) => {
        if (!json) process.stderr.write(`computing stage ${stage} of ${stages}\n`);
      },
    });
  } catch (error) {
    return toChorusError(error);
  }
}

/** The manifest that was given; where the answer is computed again, that of the data folder, if it is there. */
async function readManifest(receipt: unknown, { manifest, replay, data }: VerifyOptions) {
  if (manifest !== undefined) {
    const bytes = await readBytes(manifest);
    const envelope = envelopeSchema.safeParse(parseJson(new TextDecoder().decode(bytes)));
    return envelope.success ? fromBase64(envelope.data.payload) : bytes;
  }
  if (!replay) return undefined;
  try {
    const { model } = parseStatement(parseReceiptFile(receipt)).predicate;
    return await readManifestBytes(data, model.manifest.sha256 as Digest);
  } catch {
    // The checks say what is wrong with the receipt, and the replay what is with the folder.
    return undefined;
  }
}

/** What is no UTF-8 is refused: read as it may, it would be another text. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    throw unreadable(path, error);
  }
}

async function readBytes(path: string): Promise<Uint8Array<ArrayBuffer>> {
  try {
    return new Uint8Array(await readFile(path));
  } catch (error) {
    throw unreadable(path, error);
  }
}

function unreadable(path: string, error: unknown): ChorusError {
  return new ChorusError('bad-message', `${path} cannot be read: ${toChorusError(error).message}`);
}

/** What is no JSON is no receipt either, and is told as that. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(withoutMark(text));
  } catch {
    return null;
  }
}

function chunkList(text: string): readonly number[] | 'all' {
  if (text === 'all') return 'all';
  if (!/^\d{1,6}(,\d{1,6})*$/.test(text))
    throw new InvalidArgumentError('Expected numbers with commas between, or all.');
  return text.split(',').map(Number);
}

function requirables(text: string): readonly Requirable[] {
  const names = text.split(',');
  const known = names.filter((name): name is Requirable => Object.hasOwn(REQUIRABLE, name));
  if (known.length < names.length) {
    throw new InvalidArgumentError(`Expected some of ${Object.keys(REQUIRABLE).join(', ')}, with commas between.`);
  }
  return known;
}
