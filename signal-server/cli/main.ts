import { Command, CommanderError } from 'commander';
import { explainFailure } from './terminal/explain-error.ts';
import { packageVersion } from './terminal/package-files.ts';
import { UsageError } from './terminal/usage-error.ts';

interface CommandEntry {
  readonly description: string;
  /** Gives it its arguments, options and action; its code is loaded only where it is the one that runs. */
  readonly define: (command: Command) => Promise<void>;
}

export const commands: Readonly<Record<string, CommandEntry>> = {
  serve: {
    description: 'run a signal server: the page, the network and the API; what is run where no command is named',
    define: async (command) => (await import('./serve/serve.ts')).defineServe(command),
  },
  'import-model': {
    description: 'cut a Hugging Face style model folder into blobs and sign its manifest',
    define: async (command) => (await import('./models/import-model.ts')).defineImportModel(command),
  },
  'sign-model': {
    description: 'sign a model folder as OpenSSF Model Signing says',
    define: async (command) => (await import('./models/sign-model.ts')).defineSignModel(command),
  },
  'verify-model': {
    description: 'check a model folder against its signature',
    define: async (command) => (await import('./models/verify-model.ts')).defineVerifyModel(command),
  },
  ask: {
    description: 'ask the network one question, with a key made for it; the answer goes to standard output',
    define: async (command) => (await import('./ask/ask.ts')).defineAsk(command),
  },
  volunteer: {
    description: 'lend this machine to a network, without a browser; Ctrl-C finishes, a second one stops at once',
    define: async (command) => (await import('./volunteer/volunteer.ts')).defineVolunteer(command),
  },
  verify: {
    description: 'verify a receipt, without any network unless --log is given; succeeds only if nothing in it is wrong',
    define: async (command) => (await import('./verify/verify.ts')).defineVerify(command),
  },
  backup: {
    description: 'copy keys, log, receipts and database of a server into a new folder, while it runs or not',
    define: async (command) => (await import('./backup/backup.ts')).defineBackup(command),
  },
  restore: {
    description: 'put a backup back as the data folder of a server, once all of it was found to be what was signed',
    define: async (command) => (await import('./backup/restore.ts')).defineRestore(command),
  },
  witness: {
    description: 'watch a log: cosign what it shows as long as it only ever grows',
    define: async (command) => (await import('./log/witness.ts')).defineWitness(command),
  },
};

const ABOUT_ALL = new Set(['-h', '--help', '-V', '--version']);

/** Runs one command and sets the exit status: 2 for wrong use and what has to be set right first, 1 with a sentence for people if it failed. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  const program = new Command('chorus')
    .description('An open network for AI inference: browser tabs answer prompts together.')
    .version(packageVersion())
    .exitOverride()
    .hook('preAction', (_program, command) => demandValues(command))
    .showHelpAfterError('(chorus --help lists the commands, chorus COMMAND --help the options of one)');
  const [first, ...rest] = argv.slice(2);
  const isServer = first === undefined || (first.startsWith('-') && !ABOUT_ALL.has(first));
  const words = isServer ? ['serve', ...argv.slice(2)] : [first, ...rest];
  const wanted = words[0] === 'help' ? words[1] : words[0];
  try {
    for (const [name, { description, define }] of Object.entries(commands)) {
      const command = program.command(name).description(description);
      if (name === wanted) await define(command);
    }
    await program.parseAsync(words, { from: 'user' });
  } catch (error) {
    // Commander has said by then what is wrong, or has shown what was asked for.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode === 0 ? 0 : 2;
      return;
    }
    const { text, status } = explainFailure(error);
    process.stderr.write(`chorus: ${text}\n`);
    process.exitCode = status;
  }
}

/** An empty value comes of a variable of the shell that is not set, and would stand for the current folder. */
function demandValues(command: Command): void {
  for (const option of command.options) {
    if (command.getOptionValue(option.attributeName()) === '') throw new UsageError(`${option.long} has no value`);
  }
  for (const [i, argument] of command.registeredArguments.entries()) {
    if (command.args[i] === '' && argument.name() !== 'prompt') throw new UsageError(`<${argument.name()}> is empty`);
  }
}
