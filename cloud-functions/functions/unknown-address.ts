/** Addresses of the API that nothing answers: told in problem details like everything else that cannot be served. */
import { app } from '@azure/functions'
import { endpoints } from '../api/endpoint.ts'
import { Problem } from '../api/problem.ts'
import { problemResponse } from '../api/respond.ts'

app.http('unknown-address', {
  methods: ['GET', 'HEAD', 'POST', 'PUT', 'PATCH', 'DELETE', 'OPTIONS'],
  authLevel: 'anonymous',
  // Whatever is declared goes before a route that takes everything.
  route: 'v1/{*address}',
  handler: async (request, context) => problemResponse(whyNot(request.method, request.params.address ?? ''), context),
})

function whyNot(method: string, address: string): Problem {
  const parts = address.split('/')
  const methods = endpoints()
    .filter(({ path }) => isOf(parts, path.split('/')))
    .flatMap(({ method: answered }) => (answered === 'GET' ? ['GET', 'HEAD'] : [answered]))
  if (methods.length === 0) return new Problem(404, 'No such address', 'nothing is here; /api/v1/openapi.json describes what there is')
  const allow = methods.join(', ')
  return new Problem(405, 'Not that way', `${method} is not answered here; ${allow} is`, { allow })
}

function isOf(parts: readonly string[], template: readonly string[]): boolean {
  return (
    parts.length === template.length &&
    template.every((segment, index) => (segment.startsWith('{') ? parts[index] !== '' : segment === parts[index]))
  )
}
