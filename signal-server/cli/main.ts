import { Command } from 'commander';
import { ChorusError } from '#shared/errors.ts';
import { packageVersion } from './package-files.ts';

/** Runs one command and sets the exit code: 1 with a sentence for people if it failed. Commands load what they need only. */
export async function runCommandLine(argv: readonly string[]): Promise<void> {
  const program = new Command('chorus')
    .description('An open network for AI inference: browser tabs answer prompts together.')
    .version(packageVersion());
  const { addServeCommand } = await import('./serve.ts');
  const { addImportModelCommand } = await import('./import-model.ts');
  addServeCommand(program);
  addImportModelCommand(program);
  try {
    await program.parseAsync(argv);
  } catch (error) {
    process.stderr.write(`chorus: ${explain(error)}\n`);
    process.exitCode = 1;
  }
}

function explain(error: unknown): string {
  if (error instanceof ChorusError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
