require_relative "verify"

$stdin.each_line(chomp: true) do |line|
  kind, *fields = line.split("\t", -1)
  puts Verify.public_send(kind, *fields.map { |field| field.unpack1("m") })
end
