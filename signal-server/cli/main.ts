import { Command, CommanderError } from 'commander';
import { ChorusError } from '#shared/errors.ts';
import { explainFileFault } from '../machine/file-fault.ts';
import { packageVersion } from './terminal/package-files.ts';

/** How each command is added; its code is loaded only where it is the one that runs, or where help lists all. */
const commands: Readonly<Record<string, (program: Command) => Promise<void>>> = {
  serve: async (program) => (await import('./serve/serve.ts')).addServeCommand(program),
  'import-model': async (program) => (await import('./models/import-model.ts')).addImportModelCommand(program),
  'sign-model': async (program) => (await import('./models/sign-model.ts')).addSignModelCommand(program),
  'verify-model': async (program) => (await import('./models/verify-model.ts')).addVerifyModelCommand(program),
  ask: async (program) => (await import('./ask/ask.ts')).addAskCommand(program),
  volunteer: async (program) => (await import('./volunteer/volunteer.ts')).addVolunteerCommand(program),
  verify: async (program) => (await import('./verify/verify.ts')).addVerifyCommand(program),
  backup: async (program) => (await import('./backup/backup.ts')).addBackupCommand(program),
  restore: async (program) => (await import('./backup/restore.ts')).addRestoreCommand(program),
  witness: async (program) => (await import('./log/witness.ts')).addWitnessCommand(program),
};

/** Runs one command and sets the exit code: 1 with a sentence for people if it failed, 2 if the machine has to be set right first. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  const program = new Command('chorus')
    .description('An open network for AI inference: browser tabs answer prompts together.')
    .version(packageVersion())
    .exitOverride();
  const wanted = argv[2] ?? '';
  const added = Object.hasOwn(commands, wanted) ? [wanted] : Object.keys(commands);
  for (const name of added) await commands[name]?.(program);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    // Commander has said by then what is wrong, or has shown what was asked for.
    if (error instanceof CommanderError) {
      process.exitCode = error.exitCode;
      return;
    }
    const told = explainFileFault(error, process.cwd());
    process.stderr.write(`chorus: ${explain(told)}\n`);
    process.exitCode = told instanceof ChorusError && told.details['exitStatus'] === 2 ? 2 : 1;
  }
}

function explain(error: unknown): string {
  if (error instanceof ChorusError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
