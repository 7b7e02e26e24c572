/** The README is true: its commands exist, its pictures are there, and what it says of them runs. */
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { root, runCommand } from './support/product.ts'

const readme = readFileSync(join(root, 'README.md'), 'utf8')
const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> }

describe('README', () => {
  test('every npm script it names is there', () => {
    const named = [...readme.matchAll(/npm (?:run )?(start|test|check|build|bench)\b/g)].map((match) => match[1]!)
    expect(new Set(named)).toEqual(new Set(['start', 'test', 'check', 'build', 'bench']))
    for (const name of named) expect(scripts).toHaveProperty(name)
  })

  test('every command of its table answers', async () => {
    const commands = [...readme.matchAll(/^\| `npx millwright ([\w-]+)/gm)].map((match) => match[1]!)
    expect(commands.length).toBeGreaterThanOrEqual(8)
    const answers = await Promise.all(commands.map((name) => runCommand([name, '--help'])))
    expect(answers.map(({ code }) => code)).toEqual(commands.map(() => 0))
  })

  test('every file it shows or links to exists', () => {
    const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map((match) => match[1]!)
    expect(links.length).toBeGreaterThan(3)
    for (const link of links) expect(existsSync(join(root, link)), link).toBe(true)
  })

  test('CI runs the README’s test command', () => {
    expect(readme).toContain('\nnpm test\n')
    const ci = readFileSync(join(root, '.ci', 'run'), 'utf8')
    expect(ci).toMatch(/^ {2}npm test /m)
    expect(ci).toContain('npm run check')
  })
})
