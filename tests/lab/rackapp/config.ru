# SPDX-License-Identifier: Apache-2.0
# A small shop as the site of the incident ran it: every path is one thing that a Rails application did there. Its
# settings are environment variables: ES_URL and ES_INDEX (where it searches: the products of es_config.py),
# SEARCH_CLAUSES (how dear a search for one letter is), HEALTHCHECK=coupled|decoupled (coupled: asks Elasticsearch too),
# ES_TIMEOUT in seconds (unset: waits for ever, and a record that cannot be indexed is not saved; set: an answer of its
# own in time). Plain Rack, one request a process at a time.
require "json"
require "net/http"
require "rack"
require "securerandom"
require "uri"

class Shop
  Failed = Class.new(StandardError) # Elasticsearch did not answer with 2xx, or not in time

  def initialize(settings)
    @url = settings["ES_URL"]
    @index = settings.fetch("ES_INDEX", "products")
    @type = settings.fetch("ES_TYPE", "_doc") # before 7 the index names it
    @clauses = settings.fetch("SEARCH_CLAUSES", "300").to_i
    @timeout = settings["ES_TIMEOUT"]&.to_f
    @coupled = settings["HEALTHCHECK"] == "coupled"
  end

  def call(env)
    answer(Rack::Request.new(env))
  rescue StandardError => error # as Rails does; left to itself Passenger would answer 502
    env["rack.errors"].puts("#{error.class}: #{error.message}")
    text(500, "something went wrong")
  end

  private

  def answer(request)
    case request.path_info
    when "/", "" then text(200, "the shop's front page")
    when "/healthcheck" then healthcheck
    when "/search" then search(request.params.fetch("q", ""))
    when "/save" then save(request.params.fetch("title", "red shoes"))
    when "/slow" then slow(request.params.fetch("seconds", "1").to_f)
    else text(404, "no such page")
    end
  end

  def healthcheck
    ask("_search?size=0", query: { match_all: {} }) if @coupled
    text(200, "healthy")
  end

  def search(words)
    found = ask("_search?size=10", query: words.length == 1 ? dear(words) : cheap(words))
    text(200, "#{found.dig('hits', 'hits').length} products")
  rescue Failed
    raise unless @timeout
    text(503, "search is not available, everything else is")
  end

  # What a search-as-you-type box sent for its first letter: any text with it anywhere. Each clause begins with a
  # wildcard, so that every term of its field is looked at.
  def dear(letter)
    letter = letter.gsub(/[^[:alnum:]]/, "?")
    { bool: { should: Array.new(@clauses) do |number|
      { wildcard: { %w[description name][number % 2] => { value: "#{'?' * (number / 2)}*#{letter}*" } } }
    end } }
  end

  def cheap(words)
    { prefix: { name: words } }
  end

  def save(title)
    ask("#{@type}/#{SecureRandom.hex(8)}", { name: title, description: "#{title} as new", price: 100 })
    text(200, "saved")
  rescue Failed
    raise unless @timeout
    text(200, "saved, to be indexed later")
  end

  def slow(seconds)
    sleep([seconds, 300].min)
    text(200, "slept")
  end

  def ask(path, body)
    uri = URI("#{@url}/#{@index}/#{path}")
    post = Net::HTTP::Post.new(uri, "Content-Type" => "application/json")
    post.body = JSON.generate(body)
    reply = connection(uri).start { |http| http.request(post) }
    raise Failed, "Elasticsearch: #{reply.code} #{reply.body.to_s[0, 200]}" unless reply.is_a?(Net::HTTPSuccess)
    JSON.parse(reply.body)
  rescue SystemCallError, SocketError, IOError, Timeout::Error => error
    raise Failed, "Elasticsearch: #{error.class}: #{error.message}"
  end

  def connection(uri)
    http = Net::HTTP.new(uri.host, uri.port)
    http.open_timeout = http.read_timeout = http.write_timeout = @timeout
    http.max_retries = 0
    http
  end

  def text(status, words)
    [status, { "Content-Type" => "text/plain" }, ["#{words}\n"]]
  end
end

run Shop.new(ENV)
