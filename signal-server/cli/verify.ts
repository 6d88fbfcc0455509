import { readFile } from 'node:fs/promises';
import type { Command } from 'commander';
import { InvalidArgumentError } from 'commander';
import { verifySignature as verify } from '#shared/crypto/web-crypto.ts';
import { ChorusError, toChorusError } from '#shared/errors.ts';
import type { CheckName } from '#shared/receipt/check.ts';
import { parseReceiptSecrets, parseSalt } from '#shared/receipt/receipt-secrets.ts';
import { parseReceiptFile } from '#shared/receipt/read-receipt.ts';
import { verifyReceipt, type Verification, type VerifyReceipt } from '#shared/receipt/verify-receipt.ts';
import { describeReplay, describeVerification } from './describe-verification.ts';
import { replayFromFolder, type FolderReport } from './replay-receipt.ts';

interface VerifyOptions {
  readonly answer?: string;
  readonly prompt?: string;
  readonly salt?: string;
  readonly secrets?: string;
  readonly policy?: string;
  readonly json?: true;
  readonly replay?: true;
  readonly data: string;
  readonly chunks: readonly number[] | 'all';
}

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
    .option('--json', 'print what was found as JSON')
    .option('--replay', 'compute the answer again, with the model in the data folder')
    .option('--data <folder>', 'data folder with the model', 'data')
    .option('--chunks <list>', 'chunks of 32 positions that a replay compares, as 0,2', chunkList, 'all')
    .action(runVerify);
}

async function runVerify(path: string, options: VerifyOptions): Promise<void> {
  const request = await readRequest(path, options);
  const { verification, used } = await verifyWith(request);
  const replay = options.replay && verification.isValid ? await replayOf(used, options) : null;
  const replayed = replay === null || replay instanceof ChorusError ? null : replay;
  const isComparedWith = options.prompt === undefined || hasPassed(verification, 'prompt');
  const isValid = verification.isValid && isComparedWith && (!options.replay || replayed?.isValid === true);
  if (options.json) {
    const failure = replay instanceof ChorusError ? { error: replay.message } : replay;
    process.stdout.write(`${JSON.stringify({ ...verification, isValid, replay: failure }, null, 2)}\n`);
  } else {
    const lines = describeVerification(verification);
    if (replay instanceof ChorusError) lines.push('', `Replay: ${replay.message}`);
    if (replayed !== null) lines.push('', ...describeReplay(replayed));
    if (verification.isValid && !isComparedWith) lines.push('', 'The prompt that was given could not be compared.');
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
  return {
    receipt: parseJson(await readText(path)),
    verify,
    ...(answer !== undefined && { answer }),
    ...(policy !== undefined && { policy }),
    ...(asked !== undefined && { prompt: asked }),
    ...(salt !== undefined && { salt }),
    ...(secrets !== null && { tokens: secrets.tokens }),
  };
}

/** Programs that write a text to a file often end it with a line feed that was not part of it. */
async function verifyWith(request: VerifyReceipt): Promise<{ verification: Verification; used: VerifyReceipt }> {
  const verification = await verifyReceipt(request);
  const hasFailed = verification.checks.some(({ name, status }) => name === 'answer' && status === 'failed');
  if (!hasFailed || !request.answer?.endsWith('\n')) return { verification, used: request };
  const shorter = { ...request, answer: request.answer.slice(0, -1) };
  const again = await verifyReceipt(shorter);
  return again.isValid ? { verification: again, used: shorter } : { verification, used: request };
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

/** What is no UTF-8 is refused: read as it may, it would be another text. */
async function readText(path: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(await readFile(path));
  } catch (error) {
    throw new ChorusError('bad-message', `${path} cannot be read: ${toChorusError(error).message}`);
  }
}

/** What is no JSON is no receipt either, and is told as that. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
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
