'use strict'

/* NestJS: controllers, pipes, guards, interceptors, filters, module middleware, Observables, streams, uploads. Decorators are applied by hand: no TypeScript is built. */

const { Readable } = require('node:stream')
const front = require('./front.js')
const serve = require('./serve.js')
const plimsoll = require('../../..')

async function main() {
  await import('reflect-metadata')
  const nest = await import('@nestjs/common')
  const { NestFactory } = await import('@nestjs/core')
  const { FileInterceptor } = await import('@nestjs/platform-express')
  const { from } = await import('rxjs')
  const { map } = await import('rxjs/operators')

  /** `method(…)` decorators, then one list of decorators for each parameter. */
  function route(type, name, decorators, ...parameters) {
    for (const [index, list] of parameters.entries())
      for (const each of [list].flat()) each(type.prototype, name, index)
    const descriptor = Object.getOwnPropertyDescriptor(type.prototype, name)
    for (const decorate of decorators) decorate(type.prototype, name, descriptor)
  }

  class Cats {
    all() {
      return from([['Tom', 'Felix']])
    }
    add(body) {
      return { created: body }
    }
    picture(file, body) {
      return { bytes: file.size, name: file.originalname, title: body.title }
    }
    purr() {
      return new nest.StreamableFile(Readable.from(['purr', ' ', 'purr']), { type: 'text/plain' })
    }
    refuse() {
      throw new nest.HttpException('a teapot', 418)
    }
    explode() {
      throw new nest.BadGatewayException('upstream')
    }
    secret() {
      return 'never'
    }
    // Nest creates routes in the order of the methods.
    async one(id) {
      await new Promise(resolve => setImmediate(resolve))
      if (id > 100) throw new nest.NotFoundException(`no cat ${id}`)
      return { id, name: 'Tom' }
    }
  }
  class Guard {
    canActivate(context) {
      return context.switchToHttp().getRequest().headers.authorization === 'cat'
    }
  }
  class Wrap {
    intercept(_context, next) {
      return next.handle().pipe(map(data => ({ data })))
    }
  }
  class Stamp {
    use(_req, res, next) {
      res.setHeader('x-stamp', 'cats')
      setImmediate(next)
    }
  }
  nest.Controller('cats')(Cats)
  route(Cats, 'all', [nest.Get(), nest.UseInterceptors(Wrap)])
  route(Cats, 'purr', [nest.Get('purr')])
  route(Cats, 'refuse', [nest.Get('refuse')])
  route(Cats, 'explode', [nest.Get('explode')])
  route(Cats, 'secret', [nest.Get('secret'), nest.UseGuards(Guard)])
  route(Cats, 'one', [nest.Get(':id')], [nest.Param('id', nest.ParseIntPipe)])
  route(Cats, 'add', [nest.Post(), nest.HttpCode(201)], [nest.Body()])
  route(
    Cats,
    'picture',
    [nest.Post(':id/picture'), nest.UseInterceptors(FileInterceptor('file'))],
    [nest.UploadedFile()],
    [nest.Body()]
  )

  class App {
    configure(consumer) {
      consumer.apply(Stamp).forRoutes(Cats)
    }
  }
  nest.Module({ controllers: [Cats] })(App)

  const app = await NestFactory.create(App, { logger: false })
  for (const middleware of front) app.use(middleware)
  if (front.length > 0) app.use('/metrics', plimsoll.metrics())
  app.setGlobalPrefix('api')
  app.enableCors()
  await app.listen(0, '127.0.0.1')
  serve(app.getHttpServer())
}
main()
