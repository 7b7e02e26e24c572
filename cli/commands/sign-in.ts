import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { z } from 'zod'
import { signInCode } from '../../cloud-functions/api/identity.ts'
import { Role } from '../../contract/api.ts'
import { noPositionals, parseOptions, Port, UsageError } from '../command.ts'
import type { Command } from '../command.ts'
import { dataDirectory } from '../connection-file.ts'

const Options = z.object({
  name: z.string().trim().min(1).max(64).default('operator'),
  role: Role.default('operator'),
  port: Port.default(7300),
  positionals: noPositionals,
})

export const signIn: Command = {
  summary: 'print a link that signs somebody in to the page',
  help: `usage: millwright sign-in [--name NAME] [--role viewer|operator|engineer] [--port N]

Prints a link to the page of \`npm start\`: good once, for a day. What its holder
does stands in the histories under this name.

  --name NAME      who it is for (operator)
  --role ROLE      what they may do (operator)
  --port N         port of the page (7300)
`,
  async run(args) {
    const spec = { name: { type: 'string' }, role: { type: 'string' }, port: { type: 'string' } } as const
    const { name, role, port } = parseOptions(args, spec, Options)
    const file = join(dataDirectory(), 'operator-token')
    const token = await readFile(file, 'utf8').catch(() => {
      throw new UsageError(`'${file}' cannot be read: \`npm start\` makes it, MILLWRIGHT_DATA says where`)
    })
    process.stdout.write(`http://127.0.0.1:${port}/api/v1/sign-in?code=${signInCode(token.trim(), Date.now(), { name, role })}\n`)
    return 0
  },
}
