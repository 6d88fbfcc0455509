import { join, resolve } from 'node:path';
import { InvalidArgumentError, Option, type Command } from 'commander';
import { describeClock } from '#shared/clock.ts';
import { describeRange } from '#shared/model/stage.ts';
import type { LendingSettings, VolunteerStanding, VolunteerState } from '#shared/peer/volunteer/volunteer.ts';
import { makeFolder } from '../../machine/durable-file.ts';
import { openKeyFile } from '../../machine/key-file.ts';
import { sweepDrafts } from '../../machine/sweep-drafts.ts';
import { createDiskBlobStore } from '../../node-peer/disk-blob-store.ts';
import { startVolunteer } from '../../node-peer/volunteer-program.ts';
import { surviveLostOutput } from '../terminal/lost-output.ts';
import { numberWithin, serverOption } from '../terminal/option-values.ts';
import { openFolder } from '../terminal/open-folder.ts';
import { reachServer } from '../terminal/reach-server.ts';

const MIB = 1024 * 1024;

interface VolunteerOptions {
  readonly server: URL;
  readonly pledge: number;
  readonly slots: number;
  readonly backend: LendingSettings['backend'];
  readonly name: string;
  readonly data: string;
}

export function defineVolunteer(command: Command): void {
  command
    .addOption(serverOption())
    .option('--pledge <MiB>', 'memory to lend', numberWithin(16, 1024 * 1024, 'whole'), 1024)
    .option('--slots <count>', 'answers to work on at once', numberWithin(1, 64, 'whole'), 4)
    .addOption(
      new Option('--backend <kind>', 'what computes; Node has WASM only')
        .choices(['auto', 'webgpu', 'wasm'])
        .default('auto'),
    )
    .option('--name <name>', 'which of this machine’s keys to be known by', keyName, 'volunteer')
    .option('--data <folder>', 'folder of the key and the model’s weights', 'data')
    .action(volunteer);
}

async function volunteer(options: VolunteerOptions): Promise<void> {
  const { server: serverUrl, backend, slots } = options;
  const folder = resolve(options.data);
  const aborter = new AbortController();
  const say = (line: string) => process.stdout.write(`${new Date().toLocaleTimeString()}  ${line}\n`);
  let finish = () => aborter.abort();
  const interrupt = () => {
    finish();
    finish = () => aborter.abort();
  };
  process.on('SIGINT', interrupt).on('SIGTERM', interrupt).on('SIGHUP', interrupt);
  surviveLostOutput();
  try {
    await openFolder(options.data, makeFolder(folder));
    const identity = await openFolder(options.data, openKeyFile(join(folder, 'keys', `${options.name}.key`)));
    const blobsFolder = join(folder, 'blobs');
    await sweepDrafts(blobsFolder);
    const blobs = createDiskBlobStore(blobsFolder);
    const settings = { backend, slots, pledgeBytes: options.pledge * MIB };
    say(`volunteer ${identity.id}`);
    const { signal } = aborter;
    const started = startVolunteer({ serverUrl, identity, kind: 'cli', blobs, settings, signal });
    const running = await reachServer(serverUrl, started);
    finish = () => void running.finish();
    const clock = describeClock(running.clock.aheadMs);
    if (clock !== null) say(`the clock of this machine is ${clock}: set it right; the server’s time counts here`);
    let last = '';
    running.volunteer.onChange(() => {
      const { state } = running.volunteer;
      const line = describeState(state);
      if (line !== last && state.phase !== 'off') say(line);
      last = line;
    });
    const failure = await running.ended;
    const { tokensServed } = running.volunteer.state;
    if (failure) throw failure;
    say(`left the network; ${tokensServed} tokens served`);
  } catch (error) {
    if (!aborter.signal.aborted) throw error;
    process.exitCode = 130;
  } finally {
    process.off('SIGINT', interrupt).off('SIGTERM', interrupt).off('SIGHUP', interrupt);
  }
}

function describeState({
  phase,
  message,
  range,
  model,
  sessions,
  probeError,
  standing,
  isProving,
}: VolunteerState): string {
  if (isProving && (phase === 'serving' || phase === 'idle'))
    return 'computing for some seconds, to show the server that this is a real device; work comes after that';
  if (phase !== 'serving' || !range) return message;
  const probe = probeError === null ? '' : `, probe off by ${probeError.toExponential(1)}`;
  const now = sessions === 0 ? 'waiting for work' : `${sessions} running`;
  const stands = standing === null ? '' : `; ${describeStanding(standing)}`;
  return `serving ${describeRange(range)} of ${model?.name ?? 'a model'}${probe}; ${now}${stands}`;
}

/** How the volunteer stands with the server, for a line. */
function describeStanding({ gate, spans, neededSpans, reason, untilMs }: VolunteerStanding): string {
  if (gate === 'trial') return 'being tried: work comes after a few tokens';
  if (gate === 'closed') {
    const until = untilMs === null ? 'for a while' : `until ${new Date(untilMs).toLocaleTimeString()}`;
    return `no work ${until}: ${reason ?? 'it failed a session of the server’s own'}`;
  }
  return spans < neededSpans ? `new, ${spans} of ${neededSpans} chunks found right` : 'trusted';
}

/** A name that can be part of a file's. */
function keyName(text: string): string {
  if (/^[\w-]{1,64}$/.test(text)) return text;
  throw new InvalidArgumentError('Expected letters, digits, _ and - only.');
}
