#!/usr/bin/env node
// The program is TypeScript and runs from source: this registers the loader, for threads it starts as well.
import { register } from 'tsx/esm/api';

register();
const { runCommandLine } = await import('../signal-server/cli/main.ts');
await runCommandLine(process.argv);
